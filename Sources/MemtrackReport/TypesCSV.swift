// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// Types as comma-separated values (RFC 4180), with a head line; sizes in bytes.
public enum TypesCSV {
    public static func render(_ rows: [TypeRow]) -> String {
        var text = "runtime,name,count,bytes,ownedBlocks,ownedBytes,trackedCount,countChange,bytesChange\r\n"
        for row in rows {
            let numbers = [
                "\(row.count)", "\(row.bytes)", "\(row.ownedBlocks)", "\(row.ownedBytes)",
                "\(row.trackedCount)",
                "\(row.countChange)", "\(row.bytesChange)",
            ]
            text += ([row.runtimeName ?? "", quoted(row.name)] + numbers).joined(separator: ",") + "\r\n"
        }
        return text
    }

    private static func quoted(_ text: String) -> String {
        var text = Escape.text(text)
        // A spreadsheet takes these for formulas.
        if let first = text.utf8.first, "=+-@".utf8.contains(first) { text = "'" + text }
        guard text.utf8.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\"") }) else {
            return text
        }
        var result = "\""
        for character in text { result += character == "\"" ? "\"\"" : String(character) }
        return result + "\""
    }
}
