# SPDX-License-Identifier: Apache-2.0
"""From runs to figures. Every ratio is of a run to the bare run of the same round, so that slow drift of the machine
cancels; then the median of those, which a few disturbed runs do not move."""
import math
import statistics


def spread(values):
    """Median, low and high: quartiles, or smallest and largest where there are fewer than four values."""
    values = sorted(values)
    if len(values) >= 4:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    else:
        low, high = values[0], values[-1]
    return {"median": statistics.median(values), "low": low, "high": high, "n": len(values)}


def loop_ns(run):
    return run["loop_ns"] / run["loop_pairs"]


def compare(runs, bare_runs):
    """Figures of a tool's runs against bare runs; None where no round has both. Runs are dictionaries with "round".

    added_ns: CPU added for a malloc+free pair in the process itself, as its loop measured it.
    added_ns_tree: all CPU added, by all processes of the tool and at start and end, divided by the pairs.
    """
    bare_of = {run["round"]: run for run in bare_runs}
    pairs = [(run, bare_of[run["round"]]) for run in runs if run["round"] in bare_of]
    if not pairs:
        return None
    figures = {
        "runs": len(pairs),
        "cpu_ratio": spread([run["cpu"] / max(bare["cpu"], 1e-6) for run, bare in pairs]),
        "wall_ratio": spread([run["wall"] / max(bare["wall"], 1e-6) for run, bare in pairs]),
        "rss_ratio": spread([run["peak_kib"] / bare["peak_kib"] for run, bare in pairs]),
        "added_cpu_seconds": spread([run["cpu"] - bare["cpu"] for run, bare in pairs]),
        "cpu_seconds": spread([run["cpu"] for run, _ in pairs]),
        "wall_seconds": spread([run["wall"] for run, _ in pairs]),
        "peak_kib": spread([run["peak_kib"] for run, _ in pairs]),
    }
    timed = [(run, bare) for run, bare in pairs if "loop_ns" in run and "loop_ns" in bare]
    if timed:
        figures["loop_ns"] = spread([loop_ns(run) for run, _ in timed])
        figures["added_ns"] = spread([loop_ns(run) - loop_ns(bare) for run, bare in timed])
        figures["added_ns_tree"] = spread(
            [(run["cpu"] - bare["cpu"]) * 1e9 / run["loop_pairs"] for run, bare in timed])
    written = [run["written"] for run, _ in pairs if run["written"] is not None]
    if written:
        figures["written_bytes"] = statistics.median(written)
    return figures


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))
