# SPDX-License-Identifier: Apache-2.0
"""results.json and results.md."""
import json
import os
import platform
import subprocess

from figures import compare, geometric_mean


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20,
                              check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines and done.returncode == 0 else None


def machine(root):
    """What the figures depend on."""
    model = "unknown"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    versions = {name: first_line(command) for name, command in {
        "cc": ["cc", "--version"], "heaptrack": ["heaptrack", "--version"], "valgrind": ["valgrind", "--version"],
        "python3": ["python3", "--version"], "redis": ["redis-server", "--version"], "jq": ["jq", "--version"],
        "sqlite3": ["sqlite3", "--version"], "commit": ["git", "-C", root, "describe", "--always", "--dirty"],
    }.items()}
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "libc": " ".join(platform.libc_ver()), "load_at_start": os.getloadavg(), **versions}


def summarise(results, workloads, tools, errors):
    """One entry a workload and tool, in report order. `results` maps (workload, tool, scale) to runs."""
    entries = []
    for workload in workloads:
        for tool in tools:
            for (name, tool_name, scale), runs in sorted(results.items()):
                if (name, tool_name) != (workload.name, tool.name) or not runs:
                    continue
                figures = compare(runs, results.get((name, "bare", scale), []))
                if figures:
                    same = all(run["same"] for run in runs)
                    entries.append({"workload": name, "tool": tool_name, "scale": scale, "same_output": same,
                                    **figures})
            if (workload.name, tool.name) in errors:
                entries.append({"workload": workload.name, "tool": tool.name,
                                "error": errors[workload.name, tool.name]})
    return entries


def overall(entries, workloads):
    """Over the real programs: geometric mean and worst CPU ratio of each tool, and how many it ran."""
    real = {workload.name for workload in workloads if workload.real}
    ratios = {}
    for entry in entries:
        if entry["workload"] in real and entry["tool"] != "bare" and "cpu_ratio" in entry:
            ratios.setdefault(entry["tool"], []).append((entry["cpu_ratio"]["median"], entry["workload"]))
    return [{"tool": tool, "workloads": len(found), "cpu_geometric_mean": geometric_mean([r for r, _ in found]),
             "worst": max(found)[0], "worst_workload": max(found)[1]} for tool, found in ratios.items()]


def against(entries, workloads, ours, peers):
    """For each program: how many times the added CPU of `ours` the peers add, where they add more than 10 % and ours is
    above zero (None: it is not)."""
    added = {(e["workload"], e["tool"]): e for e in entries if "added_cpu_seconds" in e}
    found = []
    for workload in workloads:
        own = added.get((workload.name, ours))
        for tool in peers:
            theirs = added.get((workload.name, tool))
            if own and theirs and theirs["cpu_ratio"]["median"] > 1.1:
                seconds = own["added_cpu_seconds"]["median"]
                # A slow tool may have had less work.
                added_seconds = theirs["added_cpu_seconds"]["median"] * own["scale"] / theirs["scale"]
                found.append({"workload": workload.name, "tool": tool, "ours": ours, "own_added_seconds": seconds,
                              "added_seconds": added_seconds,
                              "times": added_seconds / seconds if seconds > 0 else None})
    return found


def size(count):
    if count is None:
        return "-"
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def ranged(figure, digits):
    if figure is None:
        return "-"
    text = f"{figure['median']:.{digits}f}"
    if figure["n"] > 1:
        text += f" ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"
    return text


def row(entry, full_scale):
    tool = entry["tool"]
    if "scale" in entry and entry["scale"] != full_scale:
        tool += f" (1/{round(full_scale / entry['scale'])})"
    cells = [entry["workload"], tool]
    if "error" in entry:
        return "| " + " | ".join(cells + ["-", "failed: " + entry["error"].replace("|", "/")] + [""] * 7) + " |"
    bare = entry["tool"] == "bare"
    cells += [str(entry["runs"]),
              ranged(entry["cpu_seconds"], 2) + " s" if bare else ranged(entry["cpu_ratio"], 2),
              ranged(entry["wall_seconds"], 2) + " s" if bare else ranged(entry["wall_ratio"], 2),
              "" if bare else f"{entry['added_cpu_seconds']['median']:.2f}"]
    if "added_ns" not in entry:
        cells += ["", ""]
    elif bare:
        cells += [ranged(entry["loop_ns"], 1), ""]
    else:
        cells += [ranged(entry["added_ns"], 1), f"{entry['added_ns_tree']['median']:.0f}"]
    cells += [size(entry["peak_kib"]["median"] * 1024) if bare else f"{entry['rss_ratio']['median']:.2f}",
              "" if bare else size(entry.get("written_bytes")),
              "same" if entry["same_output"] else "**DIFFERS**"]
    return "| " + " | ".join(cells) + " |"


EXPLANATION = """\
Ratios are to the bare run of the same round: median (low to high quartile; with fewer than four runs, smallest to
largest). The rows `bare` show seconds, nanoseconds a pair and memory themselves. CPU is user + system time of the whole
process tree, the tool's own processes included. Added ns/pair: in the process itself, timed around its loop;
"tree": all added CPU, start and end included, divided by the pairs. Peak RSS is that of the largest process of the
tree. `(1/10)`: run with a tenth of the work, against bare runs of the same length.
"""


def markdown(document, workloads, tools, full_scale):
    told = document["machine"]
    lines = ["# memtrack-preload: benchmark results", "",
             f"{told['cpu']}, {told['cores']} cores, Linux {told['kernel']}, {told['libc']}; {told['cc']}; "
             f"commit {told['commit']}. Load average at the start {told['load_at_start'][0]:.2f}, "
             f"at the end {told['load_at_end'][0]:.2f}. Command: `{document['command']}`.", ""]
    if document["interrupted"]:
        lines += [f"**Incomplete**: {document['interrupted']}.", ""]
    lines += [EXPLANATION]
    if document["overall"]:
        lines += ["## Real programs", "",
                  "| tool | programs | CPU ratio, geometric mean | worst | on |", "|---|--:|--:|--:|---|"]
        lines += [f"| {o['tool']} | {o['workloads']} | {o['cpu_geometric_mean']:.2f} | {o['worst']:.2f} "
                  f"| {o['worst_workload']} |" for o in document["overall"]]
        lines.append("")
    for rows in (document["against_heaptrack"], document["against_python_tools"]):
        if not rows:
            continue
        lines += [f"| program | CPU s added by | | by {rows[0]['ours']} | times |", "|---|---|--:|--:|--:|"]
        lines += [f"| {a['workload']} | {a['tool']} | {a['added_seconds']:.2f} | {a['own_added_seconds']:.2f} "
                  f"| {'below noise' if a['times'] is None else format(a['times'], '.1f')} |" for a in rows]
        lines.append("")
    lines += ["## All", "",
              "| workload | tool | runs | CPU | wall | added CPU s | added ns/pair | tree | peak RSS | written "
              "| output |", "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    lines += [row(entry, full_scale) for entry in document["summary"]]
    lines += ["", "## Workloads", ""] + [f"* `{w.name}`: {w.about}" for w in workloads]
    lines += ["", "## Tools", ""] + [f"* `{t.name}`: {t.note}" for t in tools if t.note]
    lines += [f"* {text}" for text in document["skipped"]]
    return "\n".join(lines) + "\n"


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def write(directory, document, workloads, tools, full_scale):
    """Writes both files; returns the Markdown."""
    replace(os.path.join(directory, "results.json"), json.dumps(document, indent=1) + "\n")
    text = markdown(document, workloads, tools, full_scale)
    replace(os.path.join(directory, "results.md"), text)
    return text
