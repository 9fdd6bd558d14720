// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile

/// A frame as `function (file:line)` and module, in the room there is.
enum FrameText {
    /// Everything of the name goes before the place does: parameters, template arguments, the middle.
    static func site(_ frame: Frame, room: Int) -> [Span] {
        if frame.kind == .builtIn {
            return [Span(DisplayWidth.truncateMiddle(frame.function, to: room), .dim)]
        }
        let module = frame.kind == .function && !frame.module.isEmpty ? Escape.text(frame.moduleName) : ""
        let moduleText = module.isEmpty ? "" : "  " + module
        let place = place(frame)
        let names = names(frame)
        let placeWidth = DisplayWidth.of(place)
        // A qualified name is worth more than the module.
        for name in names.prefix(4)
        where DisplayWidth.of(name) + placeWidth + DisplayWidth.of(moduleText) <= room {
            return [Span(name), Span(place, .dim), Span(moduleText, .dim)]
        }
        return withoutModule(names, place: place, room: room)
    }

    /// `← load (loader.cpp:33) ← main (main.cpp:9)`, as many as there is room for; without the places where
    /// that leaves room for one more.
    static func callers(_ frames: [Frame], room: Int) -> [Span] {
        let arrow = " ← "
        func line(_ count: Int, places: Bool) -> String {
            frames.prefix(count).map { short($0) + (places ? place($0) : "") }.joined(separator: arrow)
        }
        for count in stride(from: frames.count, to: 0, by: -1) {
            for places in [true, false] {
                let text = "← " + line(count, places: places)
                if DisplayWidth.of(text) <= room { return [Span(text, .dim)] }
            }
        }
        guard !frames.isEmpty else { return [] }
        return [Span(DisplayWidth.truncateMiddle("← " + line(1, places: false), to: room), .dim)]
    }

    /// `function (file:line)`, without arguments.
    static func plain(_ frame: Frame) -> String { short(frame) + place(frame) }

    private static func withoutModule(_ names: [String], place: String, room: Int) -> [Span] {
        let placeWidth = DisplayWidth.of(place)
        for name in names where DisplayWidth.of(name) + placeWidth <= room {
            return [Span(name), Span(place, .dim)]
        }
        for name in names where DisplayWidth.of(name) <= room { return [Span(name)] }
        return [Span(DisplayWidth.truncateMiddle(names.last ?? "", to: room))]
    }

    /// Forms of a function's name, from the whole one to the shortest, escaped.
    private static func names(_ frame: Frame) -> [String] {
        let name = frame.function
        if frame.kind != .function || frame.module.isEmpty { return [Escape.text(name)] }
        var names = [
            name, FunctionName.abridged(name, templates: false), FunctionName.abridged(name, templates: true),
        ]
        if FunctionName.unqualified(name, parts: 1) != nil { names.append(FunctionName.qualified(name)) }
        names += [3, 2, 1].compactMap { FunctionName.unqualified(name, parts: $0) }
        return names.map(Escape.text)
    }

    /// A caller's name: qualified, without arguments.
    static func short(_ frame: Frame) -> String {
        if frame.kind != .function || frame.module.isEmpty
            || FunctionName.unqualified(frame.function, parts: 1) == nil
        {
            return names(frame).last ?? ""
        }
        return Escape.text(FunctionName.qualified(frame.function))
    }

    private static func place(_ frame: Frame) -> String {
        guard let file = frame.fileName, !file.isEmpty else { return "" }
        let line = frame.line.map { ":\($0)" } ?? ""
        return " (" + Escape.text(file) + line + ")"
    }
}
