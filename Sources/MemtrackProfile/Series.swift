// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// Start, end, peak and average of one figure over the checkpoints, in bytes.
public struct SeriesFigure: Sendable, Hashable {
    public private(set) var start: Int64 = 0
    public private(set) var end: Int64 = 0
    public private(set) var peak: Int64 = 0
    /// Number of the checkpoint with the peak; the first of equals.
    public private(set) var peakNumber = 0
    private var sum: Double = 0
    public private(set) var count = 0

    public init() {}

    public var average: Int64 {
        if count == 0 { return 0 }
        let mean = (sum / Double(count)).rounded()
        // A damaged region may say anything, and the largest number is none of Double's.
        return Int64(exactly: mean) ?? (mean < 0 ? .min : .max)
    }
    public var change: Int64 { end &- start }

    mutating func add(_ value: Int64, number: Int) {
        if count == 0 { start = value }
        if count == 0 || value > peak {
            peak = value
            peakNumber = number
        }
        end = value
        sum += Double(value)
        count += 1
    }
}

/// What is kept of every checkpoint: small, because a program may run for weeks.
public struct CheckpointSummary: Sendable {
    public var number: Int
    public var time: WallTime
    public var elapsed: Double
    public var figures: ProcessFigures?
    public var totals: Counters?

    public init(
        number: Int, time: WallTime, elapsed: Double, figures: ProcessFigures?, totals: Counters?
    ) {
        self.number = number
        self.time = time
        self.elapsed = elapsed
        self.figures = figures
        self.totals = totals
    }
}

/// All checkpoints of a run in short, and the overall figures of each column.
public struct Series: Sendable {
    public private(set) var checkpoints: [CheckpointSummary] = []
    /// RSS of the program's own process.
    public private(set) var rss = SeriesFigure()
    /// RSS of the program and its children.
    public private(set) var totalRSS = SeriesFigure()
    /// Live bytes of the heap, all processes; empty (count 0) where no objects are counted.
    public private(set) var live = SeriesFigure()

    public init() {}

    public mutating func add(_ checkpoint: Checkpoint) {
        add(
            CheckpointSummary(
                number: checkpoint.number, time: checkpoint.time, elapsed: checkpoint.elapsed,
                figures: checkpoint.figures, totals: checkpoint.objects?.totals))
    }

    public mutating func add(_ checkpoint: CheckpointSummary) {
        checkpoints.append(checkpoint)
        if let figures = checkpoint.figures {
            rss.add(Int64(clamping: figures.rss), number: checkpoint.number)
            totalRSS.add(Int64(clamping: figures.totalRSS), number: checkpoint.number)
        }
        if let totals = checkpoint.totals {
            live.add(totals.liveBytes, number: checkpoint.number)
        }
    }
}
