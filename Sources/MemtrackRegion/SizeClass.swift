// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Size classes, four a power of two, as `region.h` defines them.
public enum SizeClass {
    public static let count = UInt32(MEMTRACK_CLASSES)

    public static func containing(_ size: UInt64) -> UInt32 { memtrack_size_class(size) }

    /// The sizes of a class, in bytes, both ends included.
    public static func range(_ sizeClass: UInt32) -> ClosedRange<UInt64> {
        let lower = memtrack_class_minimum(sizeClass)
        return lower...max(lower, memtrack_class_minimum(sizeClass + 1) - 1)
    }
}
