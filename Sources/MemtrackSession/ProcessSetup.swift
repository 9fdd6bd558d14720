// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// What a program of ours does before anything else.
public enum ProcessSetup {
    /// Fills standard descriptors that are closed, and tells the allocator to give memory back.
    ///
    /// A file opened while standard error is closed would become standard error, and our talk would be written
    /// into it. What stands in cannot be written to, and is closed on exec: a target finds them closed as it
    /// would without us.
    public static func run() {
        while true {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            if descriptor < 0 { break }
            if descriptor > 2 {
                close(descriptor)
                break
            }
        }
        // A snapshot is a few large arrays, made and dropped at each checkpoint. glibc raises its threshold for
        // mmap with each of them that is freed, and then keeps the heap that they have left full of holes. Fixed
        // lower, each array is new pages from the kernel: a third of what a checkpoint of 20,000 cells cost.
        setMallocOption(mmapThreshold, 8 << 20)
        setMallocOption(trimThreshold, 32 << 20)
    }

    // M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>, which Swift does not import.
    private static let mmapThreshold: Int32 = -3
    private static let trimThreshold: Int32 = -1

    private static func setMallocOption(_ option: Int32, _ value: Int32) {
        typealias Function = @convention(c) (Int32, Int32) -> Int32
        guard let symbol = dlsym(nil, "mallopt") else { return }
        _ = unsafeBitCast(symbol, to: Function.self)(option, value)
    }
}
