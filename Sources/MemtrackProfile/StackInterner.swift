// SPDX-License-Identifier: Apache-2.0

/// Finds the id of a frame or stack, or gives it one. Owner of the table that profiles copy.
public struct StackInterner {
    public private(set) var table = StackTable()
    private var frameIDs: [Frame: FrameID] = [:]
    private var stackIDs: [UInt64: StackID] = [:]
    private var wrappers: WrapperMatcher

    public init(wrappers: WrapperMatcher) {
        self.wrappers = wrappers
    }

    public mutating func frame(_ frame: Frame) -> FrameID {
        if let id = frameIDs[frame] { return id }
        let isWrapper = frame.kind == .function && wrappers.matches(frame.function)
        let id = table.add(frame, isWrapper: isWrapper)
        frameIDs[frame] = id
        return id
    }

    /// - Parameter isInlined: the frame's code is part of its caller's.
    public mutating func stack(parent: StackID, frame: FrameID, isInlined: Bool = false) -> StackID {
        let key = UInt64(parent) << 32 | UInt64(frame) << 1 | (isInlined ? 1 : 0)
        if !isNewest(parent), let id = stackIDs[key] { return id }
        let id = table.add(parent: parent, frame: frame, isInlined: isInlined)
        stackIDs[key] = id
        return id
    }

    /// The newest stack calls nothing yet: most stacks of a region come one frame after the other, and need no look-up.
    func isNewest(_ stack: StackID) -> Bool { stack != 0 && Int(stack) == table.count }

    /// Brings the table's order of frames up to date.
    mutating func rank() { table.rank() }

    /// A stack of one built-in frame.
    public mutating func stack(of builtIn: Frame) -> StackID {
        stack(parent: 0, frame: frame(builtIn))
    }
}
