// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What the page draws: the stacks of one profile, or of two laid over each other, as one tree of functions.
///
/// Of one profile, a function is (name, file, module), and lines are for the sites. Of two, it is the name without
/// arguments and suffixes and the module's base name, so that what was rebuilt, moved or inlined meets its twin.
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

    private struct FunctionKey: Hashable {
        var name: String
        var file: String
        var module: String
    }

    private(set) var modules: [ProfileModule] = []
    private(set) var functions: [Function] = []
    private(set) var nodes: [Node] = []
    private(set) var sites: [SiteName] = []
    private(set) var samples: [Sample] = []
    private let isDifference: Bool
    private var moduleIDs: [String: Int] = [:]
    private var functionIDs: [FunctionKey: Int] = [:]
    private var nodeIDs: [UInt64: Int] = [:]
    private var siteIDs: [SiteName: Int] = [:]
    private var sampleIDs: [SampleKey: Int] = [:]

    init(_ profile: Profile, base: Profile?) {
        isDifference = base != nil
        add(profile, isBase: false)
        if let base { add(base, isBase: true) }
    }

    private mutating func add(_ profile: Profile, isBase: Bool) {
        let table = profile.table
        let buildIDs = Dictionary(
            profile.modules.map { ($0.path, $0.buildID) }, uniquingKeysWith: { first, _ in first })
        let names = table.frames.indices.map {
            function(table.frame(FrameID($0)), isWrapper: table.isWrapper(FrameID($0)), buildIDs: buildIDs)
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

    private mutating func function(_ frame: Frame, isWrapper: Bool, buildIDs: [String: [UInt8]]) -> Int {
        let isNamed = frame.kind == .function
        let key = FunctionKey(
            name: isDifference && isNamed ? FunctionName.qualified(frame.function) : frame.function,
            file: isDifference ? "" : frame.file ?? "",
            module: isDifference ? frame.moduleName : frame.module)
        if let known = functionIDs[key] { return known }
        let moduleKey = isDifference ? frame.moduleName : frame.module
        let module = moduleIDs[moduleKey, default: modules.count]
        if module == modules.count {
            moduleIDs[moduleKey] = module
            modules.append(ProfileModule(path: frame.module, buildID: buildIDs[frame.module] ?? []))
        }
        functions.append(
            Function(
                name: frame.function, file: frame.file ?? "", module: module,
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
