// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
public import MemtrackRegion

/// The state of a session at one moment.
public struct SessionView {
    /// One for each living image.
    let living: [Profile]
    /// The ended images, as each stood at its end.
    let ended: ProfileAccumulator
    /// The same, but of those that ended before the program itself only what they allocated.
    let endedWithProgram: ProfileAccumulator?

    /// Living images, and what the ended ones allocated. Added up at each call.
    public var profile: Profile { sum(of: ended.settled) }
    /// The same with what the ended images left unfreed: for a final report. Added up at each call.
    public var final: Profile { sum(of: ended) }

    /// The same with what was live when the program ended: for its last checkpoint. Added up at each call.
    public var last: Profile { sum(of: endedWithProgram ?? ended.settled) }

    /// All images in order of their start.
    public var records: [ProcessRecord]
    /// Set since the last view, in order of time.
    public var markers: [RegionMarker]
    /// Set and overwritten since then.
    public var missedMarkers: Int
    public var gauges: [RegionGauge]
    /// Of the image that ended last, for when nothing lives.
    public var endedGauges: [RegionGauge]
    /// By type; nil where nobody asked.
    public var types: TypeTable?

    private func sum(of past: ProfileAccumulator) -> Profile {
        // The usual case of a program without children: there is nothing to add up.
        if past.isEmpty, living.count == 1 { return living[0] }
        var sum = past
        for profile in living { sum.add(profile) }
        return sum.profile
    }

    public var lastGauges: [RegionGauge] { gauges.isEmpty ? endedGauges : gauges }
}
