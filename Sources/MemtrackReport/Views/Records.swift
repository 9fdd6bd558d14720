// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
internal import MemtrackProfile

/// A view as rows of named values: CSV with a head, or JSON, an array of objects.
public struct Records: Sendable {
    enum Cell: Sendable, Hashable {
        case text(String)
        case integer(Int64)
        case count(UInt64)
        case number(Double)
        case nothing
    }

    var columns: [String]
    var rows: [[Cell]] = []

    static func cells(of frame: Frame) -> [Cell] {
        [
            .text(frame.function), frame.file.map(Cell.text) ?? .nothing,
            frame.line.map { .integer(Int64($0)) } ?? .nothing, .text(frame.module),
        ]
    }

    public var csv: String {
        var csv = CSV()
        csv.row(columns)
        for row in rows {
            csv.row(
                row.map { cell in
                    switch cell {
                    case .text(let text): CSV.text(text)
                    case .integer(let value): "\(value)"
                    case .count(let value): "\(value)"
                    case .number(let value): "\(value)"
                    case .nothing: ""
                    }
                })
        }
        return csv.text
    }

    public func json() throws(ReportError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            let objects = rows.map { Object(columns: columns, cells: $0) }
            return Array(try encoder.encode(objects)) + [UInt8(ascii: "\n")]
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }

    private struct Object: Encodable {
        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        var columns: [String]
        var cells: [Cell]

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            for (name, cell) in zip(columns, cells) {
                let key = Key(stringValue: name)
                switch cell {
                case .text(let text): try container.encode(text, forKey: key)
                case .integer(let value): try container.encode(value, forKey: key)
                case .count(let value): try container.encode(value, forKey: key)
                case .number(let value): try container.encode(value, forKey: key)
                case .nothing: try container.encodeNil(forKey: key)
                }
            }
        }
    }
}
