// SPDX-License-Identifier: Apache-2.0
internal import CZlib

/// gzip (RFC 1952) through zlib, with a bound on what may come out.
enum Gzip {
    static let magic: [UInt8] = [0x1f, 0x8b]
    private static let chunk = 256 << 10

    /// Without name and time in the header: the same bytes in give the same bytes out.
    static func compressed(_ bytes: [UInt8]) throws(ProfileFileError) -> [UInt8] {
        var stream = z_stream()
        guard memtrack_gzip_begin(&stream) == Z_OK else { throw .encoding(reason: "zlib did not start") }
        defer { deflateEnd(&stream) }
        var output: [UInt8] = []
        let code = run(&stream, bytes, limit: .max, into: &output) { deflate(&$0, Z_FINISH) }
        guard code == Z_STREAM_END else { throw .encoding(reason: "zlib said \(code)") }
        return output
    }

    /// Everything that the members of a file hold, at most `limit` bytes.
    static func decompressed(_ bytes: [UInt8], limit: Int) throws(ProfileFileError) -> [UInt8] {
        var stream = z_stream()
        guard memtrack_gunzip_begin(&stream) == Z_OK else { throw .damagedCompression }
        defer { inflateEnd(&stream) }
        var output: [UInt8] = []
        var rest = bytes[...]
        repeat {
            let code = run(&stream, Array(rest), limit: limit, into: &output) { inflate(&$0, Z_NO_FLUSH) }
            if output.count > limit { throw .tooLarge(what: "bytes after decompression", limit: limit) }
            switch code {
            case Z_STREAM_END: break
            case Z_OK, Z_BUF_ERROR: throw .truncated
            default: throw .damagedCompression
            }
            // Another member may follow; zeros after the last are padding.
            rest = rest.suffix(Int(stream.avail_in)).drop { $0 == 0 }
            if !rest.isEmpty, inflateReset(&stream) != Z_OK { throw .damagedCompression }
        } while !rest.isEmpty
        return output
    }

    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32_z(0, bytes, bytes.count))
    }

    /// Feeds all input and collects the output until the stream ends, stalls, fails, or has given too much.
    private static func run(
        _ stream: inout z_stream, _ input: [UInt8], limit: Int, into output: inout [UInt8],
        step: (inout z_stream) -> Int32
    ) -> Int32 {
        var input = input
        return input.withUnsafeMutableBufferPointer { source in
            stream.next_in = source.baseAddress
            // 4 GiB and more do not come here: files are bounded before.
            stream.avail_in = UInt32(clamping: source.count)
            var code = Z_OK
            while code == Z_OK && output.count <= limit {
                let piece = [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
                    stream.next_out = buffer.baseAddress
                    stream.avail_out = UInt32(chunk)
                    code = step(&stream)
                    count = chunk - Int(stream.avail_out)
                }
                output += piece
                if code == Z_OK && piece.count < chunk && stream.avail_in == 0 { code = Z_BUF_ERROR }
            }
            stream.next_in = nil
            stream.next_out = nil
            return code
        }
    }
}
