// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// One page with everything in it: style, script and figures. It asks for nothing, from anywhere: its content
/// security policy admits the one style and the one script that `Sources/ReportPage/embed` put here, by their
/// hashes.
///
/// With `options.base`, it shows the difference between the two.
public struct HTMLExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let data = PageJSON(profile: profile, base: options.base, selected: options.sampleType)
        let policy =
            "default-src 'none'; style-src '\(PageAssets.styleHash)'; script-src '\(PageAssets.scriptHash)'; "
            + "base-uri 'none'; form-action 'none'"
        var page: [UInt8] = []
        // The page has each of these once, in this order.
        let parts: [(marker: String, bytes: [UInt8])] = [
            ("{{policy}}", Array(policy.utf8)), ("{{title}}", Array(Self.escaped(data.title).utf8)),
            ("{{style}}", Array(PageAssets.style.utf8)), ("{{data}}", data.write()),
            ("{{script}}", Array(PageAssets.script.utf8)),
        ]
        var rest = PageAssets.page[...]
        for part in parts {
            guard let range = rest.firstRange(of: part.marker) else { continue }
            page += rest[..<range.lowerBound].utf8
            page += part.bytes
            rest = rest[range.upperBound...]
        }
        return page + rest.utf8
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in Escape.text(text).unicodeScalars {
            switch character {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
