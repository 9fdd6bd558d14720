// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackReport

/// How the objects of a Python interpreter came to be counted.
public struct PythonNote: Hashable, Sendable {
    let text: String
    /// Nothing that one must know to read the figures.
    let isUsual: Bool
}

extension RegionSnapshot {
    /// nil where nobody asked, or there is no Python.
    var pythonNote: PythonNote? {
        var how: String
        switch python {
        case .notAsked: return nil
        case .ready: how = "every object is counted; its own small-object allocator (pymalloc) stays in use."
        case .wrapped:
            how =
                "objects are counted as blocks of the allocator that it was told to use (PYTHONMALLOC, "
                + "-X dev); behind its debug hooks (-X dev, PYTHONMALLOC=debug) none can be told from other blocks."
        case .malloc:
            how =
                "untested here (3.8 to 3.13 are): it was told to take its objects from malloc, as with "
                + "PYTHONMALLOC=malloc, and they are counted there."
        case .unknown:
            how =
                "untested here (3.8 to 3.13 with the GIL are, where they start after the library): only what it "
                + "takes from malloc is counted."
        }
        if pythonBefore > 0 {
            how +=
                " Before tracking: \(FigureText.plural(pythonBefore, "small block", "small blocks")), made by the "
                + "interpreter before the library was there, are in no figure."
        }
        let version = pythonMinor > 0 ? "CPython 3.\(pythonMinor)" : "CPython"
        return PythonNote(
            text: "\(Frame.baseName(identity.executable)), \(version): \(how)",
            isUsual: python == .ready && pythonBefore == 0)
    }
}
