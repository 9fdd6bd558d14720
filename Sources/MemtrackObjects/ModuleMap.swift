// SPDX-License-Identifier: Apache-2.0

/// The loaded objects of a target, and what their symbol tables can tell of an address.
public struct ModuleMap {
    /// A mapped part of a loaded object that holds data: where static types, vtables and metadata lie.
    public struct Range: Sendable, Hashable {
        public var start: UInt64
        /// First address after it.
        public var end: UInt64

        public init(start: UInt64, end: UInt64) {
            self.start = start
            self.end = end
        }
    }

    private let ranges: [Range]
    /// The class whose vtable covers an address, demangled; nil where no symbol says so.
    let vtable: (UInt64) -> String?
    /// Address of CPython's `PyType_Type`; nil where there is no interpreter.
    let pythonType: UInt64?
    let hasSwift: Bool

    public init(
        ranges: [Range], pythonType: UInt64?, hasSwift: Bool, vtable: @escaping (UInt64) -> String?
    ) {
        self.ranges = ranges.sorted { $0.start < $1.start }
        self.pythonType = pythonType
        self.hasSwift = hasSwift
        self.vtable = vtable
    }

    @inline(__always)
    func contains(_ address: UInt64) -> Bool {
        ranges.withUnsafeBufferPointer { ranges in
            var low = 0
            var high = ranges.count
            while low < high {
                let middle = (low &+ high) / 2
                if ranges[middle].start <= address { low = middle + 1 } else { high = middle }
            }
            return low > 0 && address < ranges[low - 1].end
        }
    }
}
