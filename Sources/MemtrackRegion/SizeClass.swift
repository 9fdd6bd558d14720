// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Size classes, four a power of two, as `region.h` defines them.
public enum SizeClass {
    public static let count = UInt32(MEMTRACK_CLASSES)

    public static func containing(_ size: UInt64) -> UInt32 { memtrack_size_class(size) }

    /// The sizes of a class, in bytes, both ends included. The last class has no upper end; a number that is
    /// no class counts as the last one.
    public static func range(_ sizeClass: UInt32) -> ClosedRange<UInt64> {
        guard sizeClass < count - 1 else { return memtrack_class_minimum(count - 1)...UInt64.max }
        return memtrack_class_minimum(sizeClass)...(memtrack_class_minimum(sizeClass + 1) - 1)
    }
}
