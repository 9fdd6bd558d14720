// SPDX-License-Identifier: Apache-2.0

/// The file that an input of the fuzzer stands for: each byte is told by its difference (exclusive or) from a sound region, so
/// that no seed grows old. An input that begins with ff gives a file as long as that region; one that begins with fe, a
/// file as long as the rest of the input. Nil: the input begins with neither.
///
/// A file that is shorter than its header says is refused at once. So most inputs should begin with ff.
func wholeFile(_ input: UnsafeRawBufferPointer, of sound: [UInt8]) -> [UInt8]? {
    guard let kind = input.first, kind >= 0xfe else { return nil }
    let differences = UnsafeRawBufferPointer(rebasing: input.dropFirst())
    var file = sound
    if kind == 0xfe {
        file = Array(sound.prefix(differences.count))
        file += differences.dropFirst(sound.count)
    }
    let count = min(differences.count, sound.count)
    file.withUnsafeMutableBytes { file in
        // By words: each step of a loop is one that the fuzzer counts.
        for at in stride(from: 0, to: count - 7, by: 8) {
            let both =
                file.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                ^ differences.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            file.storeBytes(of: both, toByteOffset: at, as: UInt64.self)
        }
    }
    return file
}
