// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
public import MemtrackRegion

/// The state of a session at one moment.
public struct SessionView {
    /// Living images, and what the ended ones allocated.
    public var profile: Profile
    /// The same with what the ended images left unfreed: for a final report.
    public var final: Profile
    /// All images in order of their start.
    public var records: [ProcessRecord]
    /// Set since the last view, in order of time.
    public var markers: [RegionMarker]
    public var gauges: [RegionGauge]
    /// Of the image that ended last, for when nothing lives.
    public var endedGauges: [RegionGauge]

    public var lastGauges: [RegionGauge] { gauges.isEmpty ? endedGauges : gauges }
}
