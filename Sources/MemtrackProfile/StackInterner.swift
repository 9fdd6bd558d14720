// SPDX-License-Identifier: Apache-2.0

/// Finds the id of a frame or stack, or gives it one. Owner of the table that profiles copy.
struct StackInterner {
    private(set) var table = StackTable()
    private var frameIDs: [Frame: FrameID] = [:]
    private var stackIDs: [UInt64: StackID] = [:]
    private var wrappers: WrapperMatcher

    init(wrappers: WrapperMatcher) {
        self.wrappers = wrappers
    }

    mutating func frame(_ frame: Frame) -> FrameID {
        if let id = frameIDs[frame] { return id }
        let isWrapper = frame.kind == .function && wrappers.matches(frame.function)
        let id = table.add(frame, isWrapper: isWrapper)
        frameIDs[frame] = id
        return id
    }

    mutating func stack(parent: StackID, frame: FrameID) -> StackID {
        let key = UInt64(parent) << 32 | UInt64(frame)
        if let id = stackIDs[key] { return id }
        let id = table.add(parent: parent, frame: frame)
        stackIDs[key] = id
        return id
    }

    /// A stack of one built-in frame.
    mutating func stack(of builtIn: Frame) -> StackID {
        stack(parent: 0, frame: frame(builtIn))
    }
}
