// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What the page draws: the stacks of one profile, or of two laid over each other, as one tree of functions.
///
/// Of one profile, a function is (name, file, module), and lines are for the sites. Of two, it is what
/// `memtrack diff` takes for the name and the module, so that what was rebuilt, moved or inlined meets its
/// twin.
struct PageModel {
    struct Function: Hashable {
        var name: String
        var file: String
        var module: Int
        var kind: Kind
    }

    enum Kind: Int {
        case code = 0
        case wrapper = 1
        case builtIn = 2
    }

    struct Node {
        /// Place + 1 of the caller's node; 0 is the root.
        var parent: Int
        var function: Int
    }

    struct SiteName: Hashable {
        var function: Int
        var line: Int
    }

    struct Sample {
        var node: Int
        /// The node of the call site, without the wrappers inside it.
        var siteNode: Int
        var site: Int
        var sizeClass: UInt32
        var counters = Counters()
        var base = Counters()
    }

    private struct SampleKey: Hashable {
        var node: Int
        var site: Int
        var sizeClass: UInt32
    }

    private(set) var modules: [ProfileModule] = []
    private(set) var functions: [Function] = []
    private(set) var nodes: [Node] = []
    private(set) var sites: [SiteName] = []
    private(set) var samples: [Sample] = []
    private let isDifference: Bool
    private var moduleIDs: [String: Int] = [:]
    private var functionIDs: [DiffKey: Int] = [:]
    /// Of a difference: functions that each side has in one module, and not in the same.
    private var moved: Set<String> = []
    private var nodeIDs: [UInt64: Int] = [:]
    private var siteIDs: [SiteName: Int] = [:]
    private var sampleIDs: [SampleKey: Int] = [:]

    init(_ profile: LoadedProfile, base: LoadedProfile?) {
        isDifference = base != nil
        if let base {
            let old = Self.modulesOfFunctions(base)
            for (name, modules) in Self.modulesOfFunctions(profile) where modules.count == 1 {
                if let other = old[name], other.count == 1, other != modules { moved.insert(name) }
            }
        }
        add(profile, isBase: false)
        if let base { add(base, isBase: true) }
    }

    private static func modulesOfFunctions(_ loaded: LoadedProfile) -> [String: Set<String>] {
        var names = DiffNames(loaded)
        var result: [String: Set<String>] = [:]
        for id in loaded.profile.table.frames.indices {
            let key = names.key(of: FrameID(id))
            result[key.function, default: []].insert(key.module)
        }
        return result
    }

    private mutating func add(_ loaded: LoadedProfile, isBase: Bool) {
        let profile = loaded.profile
        let table = profile.table
        let buildIDs = Dictionary(
            profile.modules.map { ($0.path, $0.buildID) }, uniquingKeysWith: { first, _ in first })
        var keys = DiffNames(loaded)
        let names = table.frames.indices.map { id in
            let frame = table.frame(FrameID(id))
            let key =
                isDifference
                ? keys.key(of: FrameID(id))
                : DiffKey(function: frame.function, file: frame.file ?? "", module: frame.module)
            return function(key, frame, isWrapper: table.isWrapper(FrameID(id)), buildIDs: buildIDs)
        }
        let places = addNodes(of: profile, functions: names)
        for sample in profile.samples {
            let frame = table.siteFrame(of: sample.stack)
            let line = isDifference ? 0 : max(0, table.frame(frame).line ?? 0)
            let siteNode = places[Int(table.siteStack(of: sample.stack))]
            let site = site(SiteName(function: names[Int(frame)], line: line))
            let key = SampleKey(
                node: places[Int(sample.stack)], site: site, sizeClass: sample.sizeClass)
            let place = sampleIDs[key, default: samples.count]
            if place == samples.count {
                sampleIDs[key] = place
                samples.append(
                    Sample(node: key.node, siteNode: siteNode, site: site, sizeClass: key.sizeClass))
            }
            if isBase {
                samples[place].base += sample.counters
            } else {
                samples[place].counters += sample.counters
            }
        }
    }

    /// The tree's node (place + 1) of each stack that has samples, and of its callers.
    private mutating func addNodes(of profile: Profile, functions: [Int]) -> [Int] {
        let table = profile.table
        var isUsed = [Bool](repeating: false, count: table.count + 1)
        for sample in profile.samples {
            var stack = sample.stack
            while stack != 0, !isUsed[Int(stack)] {
                isUsed[Int(stack)] = true
                stack = table.parent(of: stack)
            }
        }
        var places = [Int](repeating: 0, count: table.count + 1)
        // A caller's id is smaller than that of what it calls.
        for id in isUsed.indices where isUsed[id] {
            let parent = places[Int(table.parent(of: StackID(id)))]
            let function = functions[Int(table.innermost(of: StackID(id)))]
            let key = UInt64(parent) << 32 | UInt64(function)
            if let known = nodeIDs[key] {
                places[id] = known
            } else {
                nodes.append(Node(parent: parent, function: function))
                nodeIDs[key] = nodes.count
                places[id] = nodes.count
            }
        }
        return places
    }

    private mutating func function(
        _ given: DiffKey, _ frame: Frame, isWrapper: Bool, buildIDs: [String: [UInt8]]
    ) -> Int {
        var key = given
        if isDifference {
            key.file = ""
            if moved.contains(key.function) { key.module = "" }
        }
        if let known = functionIDs[key] { return known }
        let moduleKey = isDifference ? given.module : frame.module
        let module = moduleIDs[moduleKey, default: modules.count]
        if module == modules.count {
            moduleIDs[moduleKey] = module
            modules.append(ProfileModule(path: frame.module, buildID: buildIDs[frame.module] ?? []))
        }
        functions.append(
            Function(
                name: isDifference && frame.kind == .address ? key.function : frame.function,
                file: frame.file ?? "", module: module,
                kind: frame.kind == .builtIn ? .builtIn : (isWrapper ? .wrapper : .code)))
        functionIDs[key] = functions.count - 1
        return functions.count - 1
    }

    private mutating func site(_ name: SiteName) -> Int {
        if let known = siteIDs[name] { return known }
        sites.append(name)
        siteIDs[name] = sites.count - 1
        return sites.count - 1
    }
}
