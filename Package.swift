// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "memtrack-preload",
    products: [
        .executable(name: "memtrack-preload", targets: ["memtrack-preload"]),
        .executable(name: "memtrack", targets: ["memtrack"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    ],
    targets: [
        // The shim's header only: SwiftPM must not build the shim (see docs/architecture.md).
        .systemLibrary(name: "CMemtrack", path: "CShim"),
        .systemLibrary(
            name: "CElfutils", path: "Sources/CElfutils", pkgConfig: "libdw",
            providers: [.apt(["libdw-dev"])]),
        .target(name: "CDemangle", path: "Sources/CDemangle", linkerSettings: [.linkedLibrary("iberty")]),

        .target(
            name: "MemtrackRegion", dependencies: ["CMemtrack", "CMemtrackGuard"], swiftSettings: settings),
        .target(name: "CMemtrackGuard", path: "Sources/CMemtrackGuard"),
        .target(name: "MemtrackSymbols", dependencies: ["CElfutils", "CDemangle"], swiftSettings: settings),
        .target(name: "MemtrackProcfs", swiftSettings: settings),
        .target(name: "MemtrackLaunch", dependencies: ["CMemtrackSpawn"], swiftSettings: settings),
        .target(name: "CMemtrackPeek", path: "Sources/CMemtrackPeek"),
        .target(name: "CMemtrackSpawn", path: "Sources/CMemtrackSpawn"),
        .target(
            name: "MemtrackObjects", dependencies: ["MemtrackRegion", "MemtrackSymbols"],
            swiftSettings: settings),
        .target(
            name: "MemtrackProfile", dependencies: ["MemtrackObjects", "MemtrackRegion", "MemtrackSymbols"],
            swiftSettings: settings),
        .systemLibrary(
            name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "MemtrackProfileFile",
            dependencies: [
                "MemtrackObjects", "MemtrackProfile", "MemtrackRegion", "CZlib",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["profile.proto"], swiftSettings: settings),
        .target(
            name: "MemtrackReport", dependencies: ["MemtrackObjects", "MemtrackProfile", "MemtrackRegion"],
            swiftSettings: settings),
        .target(
            name: "MemtrackSession",
            dependencies: [
                "MemtrackReport", "MemtrackLaunch", "MemtrackProcfs", "MemtrackProfile",
                "MemtrackProfileFile", "MemtrackRegion", "MemtrackSymbols",
                "MemtrackObjects", "CMemtrackPeek",
            ],
            swiftSettings: settings),
        // Options that both programs have.
        .target(
            name: "MemtrackOptions", dependencies: ["MemtrackSession", argumentParser],
            swiftSettings: settings),
        .executableTarget(
            name: "memtrack-preload", dependencies: ["MemtrackOptions", "MemtrackSession", argumentParser],
            swiftSettings: settings),
        .executableTarget(
            name: "memtrack", dependencies: ["MemtrackOptions", "MemtrackSession", argumentParser],
            swiftSettings: settings),

        .testTarget(
            name: "MemtrackRegionTests", dependencies: ["MemtrackRegion", "CMemtrack", "CMemtrackGuard"],
            swiftSettings: settings),
        .testTarget(
            name: "MemtrackObjectsTests", dependencies: ["MemtrackObjects", "MemtrackRegion"],
            swiftSettings: settings),
        .testTarget(name: "MemtrackSymbolsTests", dependencies: ["MemtrackSymbols"], swiftSettings: settings),
        .testTarget(name: "MemtrackProcfsTests", dependencies: ["MemtrackProcfs"], swiftSettings: settings),
        .testTarget(
            name: "MemtrackLaunchTests", dependencies: ["MemtrackLaunch", "launch-probe"],
            swiftSettings: settings),
        // The smallest launcher: what the tests of MemtrackLaunch run, in a process and on a terminal of its own.
        .executableTarget(
            name: "launch-probe", dependencies: ["MemtrackLaunch"], path: "Tests/LaunchProbe",
            swiftSettings: settings),
        // The reader's parts, timed: `make bench-reader`.
        .executableTarget(
            name: "reader-bench", dependencies: ["MemtrackProfile", "MemtrackRegion", "MemtrackSymbols"],
            path: "Tests/Bench/Reader", swiftSettings: settings),
        .testTarget(
            name: "MemtrackProfileTests",
            dependencies: ["MemtrackProfile", "MemtrackRegion", "MemtrackSymbols"],
            swiftSettings: settings),
        .testTarget(
            name: "MemtrackProfileFileTests",
            dependencies: ["MemtrackProfileFile", "MemtrackProfile", "MemtrackRegion", "MemtrackObjects"],
            swiftSettings: settings),
        .testTarget(
            name: "MemtrackReportTests",
            dependencies: [
                "MemtrackReport", "MemtrackProfile", "MemtrackRegion", "MemtrackSymbols", "MemtrackObjects",
            ],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "MemtrackSessionTests", dependencies: ["MemtrackSession"], swiftSettings: settings),
        .testTarget(
            name: "EndToEndTests", dependencies: ["MemtrackRegion"], exclude: ["Golden", "Traps.md"],
            swiftSettings: settings),
    ]
)

// `make fuzz`: libFuzzer brings main, so these are no part of an ordinary build.
if Context.environment["MEMTRACK_FUZZ"] != nil {
    package.targets += [
        .target(name: "FuzzSupport", path: "Tests/Fuzz/Support", swiftSettings: settings),
        .executableTarget(
            name: "fuzz-region",
            dependencies: ["FuzzSupport", "MemtrackRegion", "MemtrackProfile", "MemtrackReport"],
            path: "Tests/Fuzz/Region", swiftSettings: settings),
        .executableTarget(
            name: "fuzz-profile",
            dependencies: [
                "FuzzSupport", "MemtrackProfile", "MemtrackProfileFile", "MemtrackReport", "CZlib",
            ],
            path: "Tests/Fuzz/Profile", swiftSettings: settings),
    ]
}
