// SPDX-License-Identifier: Apache-2.0

internal import CElfutils
internal import Glibc

/// One ELF file on disk with what libdwfl finds for it: its separate debug file, its symbols, its DWARF.
///
/// All addresses that go in or out are the file's own (run-time address minus bias). Not thread-safe,
/// because libdw is not.
final class ObjectFile {
    let path: String
    private let resources: DwflResources
    private let module: OpaquePointer
    /// libdwfl's address minus the file's.
    private let bias: UInt64
    private let options: SymbolizerOptions
    private let budget: DebuginfodBudget
    private let segments: [Range<UInt64>]

    private(set) lazy var symbols = budget.lookUp { [self] in
        SymbolTable(module: module, bias: bias, segments: segments)
    }
    private(set) lazy var facts: ObjectFacts? = budget.lookUp { [self] in
        var bias: GElf_Addr = 0
        guard let elf = dwfl_module_getelf(module, &bias) else { return nil }
        return ObjectFacts(module: module, elf: elf, bias: bias)
    }
    private(set) lazy var units: UnitIndex? = loadUnits()

    /// Opens and checks the file; symbols and debug information are loaded when first asked for.
    init(_ file: CodeFile, options: SymbolizerOptions, budget: DebuginfodBudget) throws(SymbolError) {
        path = file.path
        self.options = options
        self.budget = budget
        guard !file.path.hasSuffix(" (deleted)") else { throw .deleted(path: file.path) }
        resources = DwflResources(options: options)
        guard let dwfl = resources.dwfl else {
            throw .damaged(path: file.path, reason: lastDwflError())
        }
        let descriptor = try openELF(file.path)
        dwfl_report_begin(dwfl)
        // Base 0: libdwfl's addresses are then those of the file.
        guard let module = dwfl_report_elf(dwfl, file.path, file.path, descriptor, 0, true) else {
            close(descriptor)
            throw .damaged(path: file.path, reason: lastDwflError())
        }
        // From here on libdwfl owns the descriptor.
        dwfl_report_end(dwfl, nil, nil)
        self.module = module
        var bias: GElf_Addr = 0
        guard let elf = dwfl_module_getelf(module, &bias) else {
            throw .damaged(path: file.path, reason: lastDwflError())
        }
        self.bias = bias
        segments = executableSegments(of: elf)
        if !file.buildID.isEmpty, let onDisk = buildID(of: elf), onDisk != file.buildID {
            throw .otherBuild(path: file.path, mapped: file.buildID, onDisk: onDisk)
        }
    }

    func frames(at address: UInt64) -> [SourceFrame] {
        guard segments.contains(where: { $0.contains(address) }) else { return [] }
        var frames = units?.frames(at: address, symbols: symbols) ?? []
        if let outermost = frames.indices.last {
            if frames[outermost].function == nil { frames[outermost].function = symbol(at: address) }
        } else if let name = symbol(at: address) {
            frames = [SourceFrame(function: name)]
        }
        return frames
    }

    /// What the file lacks, nil when it has debug information or a full symbol table.
    var shortcoming: SymbolError? {
        guard !symbols.hasLocalFunctions, units == nil else { return nil }
        return .stripped(path: path, namesExported: !symbols.isEmpty)
    }

    private func symbol(at address: UInt64) -> String? {
        symbols.name(at: address).map(demangle)
    }

    private func loadUnits() -> UnitIndex? {
        guard options.useDebugInfo else { return nil }
        var dwarfBias: Dwarf_Addr = 0
        guard let dwarf = budget.lookUp({ dwfl_module_getdwarf(module, &dwarfBias) }) else { return nil }
        // A separate debug file may have been laid out at other addresses (prelink).
        return UnitIndex(dwarf: dwarf, bias: dwarfBias &- bias, segments: segments)
    }
}

/// A libdwfl session for one file, and the C structures that must outlive it.
private final class DwflResources {
    let dwfl: OpaquePointer?
    private let callbacks = UnsafeMutablePointer<Dwfl_Callbacks>.allocate(capacity: 1)
    private let searchPath = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: 1)

    init(options: SymbolizerOptions) {
        // libdwfl's default search path, then the user's directories.
        let path = ([":.debug:/usr/lib/debug"] + options.debugDirectories).joined(separator: ":")
        searchPath.initialize(to: strdup(path))
        callbacks.initialize(to: Dwfl_Callbacks())
        // Never called: every module is reported with its file.
        callbacks.pointee.find_elf = { _, _, _, _, _, _ in -1 }
        if options.useDebugInfo {
            callbacks.pointee.find_debuginfo = dwfl_standard_find_debuginfo
        } else {
            callbacks.pointee.find_debuginfo = { _, _, _, _, _, _, _, _ in -1 }
        }
        callbacks.pointee.section_address = dwfl_offline_section_address
        callbacks.pointee.debuginfo_path = searchPath
        dwfl = dwfl_begin(callbacks)
    }

    deinit {
        dwfl_end(dwfl)
        callbacks.deallocate()
        free(searchPath.pointee)
        searchPath.deallocate()
    }
}

private func lastDwflError() -> String {
    let code = dwfl_errno()
    guard code != 0, let text = dwfl_errmsg(code) else { return "unknown reason" }
    return String(cString: text)
}

/// Opens a regular file that begins like an executable or shared library. Neither a FIFO nor a device that
/// happens to have the path can block us or be read. (libdwfl would also unpack compressed kernel modules.)
private func openELF(_ path: String) throws(SymbolError) -> Int32 {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, errno: errno) }
    do throws(SymbolError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotOpen(path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path) }
        // e_ident (16 bytes), then e_type: 16 bits in the file's own byte order.
        var head = [UInt8](repeating: 0, count: 18)
        guard pread(descriptor, &head, head.count, 0) == head.count,
            head.starts(with: [0x7f, 0x45, 0x4c, 0x46])
        else { throw .notELF(path: path) }
        let isBigEndian = head[5] == UInt8(ELFDATA2MSB)
        let type = isBigEndian ? [head[17], head[16]] : [head[16], head[17]]
        guard type == [UInt8(ET_EXEC), 0] || type == [UInt8(ET_DYN), 0] else {
            throw .notLoadable(path: path)
        }
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

private func executableSegments(of elf: OpaquePointer) -> [Range<UInt64>] {
    var count = 0
    guard elf_getphdrnum(elf, &count) == 0 else { return [] }
    var segments: [Range<UInt64>] = []
    // The extended count of a hostile file may be huge; a program has about a dozen.
    for index in 0..<Int32(clamping: min(count, 65536)) {
        var header = GElf_Phdr()
        guard gelf_getphdr(elf, index, &header) != nil else { break }
        guard header.p_type == GElf_Word(PT_LOAD), header.p_flags & GElf_Word(PF_X) != 0 else { continue }
        let (end, overflow) = header.p_vaddr.addingReportingOverflow(header.p_memsz)
        if !overflow && end > header.p_vaddr { segments.append(header.p_vaddr..<end) }
    }
    return segments
}

private func buildID(of elf: OpaquePointer) -> [UInt8]? {
    var bytes: UnsafeRawPointer?
    let length = dwelf_elf_gnu_build_id(elf, &bytes)
    guard length > 0, let bytes else { return nil }
    return Array(UnsafeRawBufferPointer(start: bytes, count: Int(length)))
}
