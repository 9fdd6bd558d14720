# SPDX-License-Identifier: Apache-2.0
"""Measures what the shim costs beside its peers.

One round runs each workload once under each tool, the next round in the opposite order (A B, B A, ...), so that a
run is compared with a bare run made moments before or after it. Ctrl+C ends it early: what was measured is written.
Exit status: 0; 1 where a tool changed a program's output or our own failed; 130 after Ctrl+C.
"""
import argparse
import os
import shlex
import signal
import subprocess
import sys
import time

import report
import suite
import tools as tool_list
from measure import RunFailed, run_once

ROOT = os.path.dirname(os.path.dirname(suite.HERE))
SLOW_DIVISOR = 10
# bench-quick: everything, short. The deadline leaves room for compiling and for the last run.
# A run of more than `long` seconds is done `long_rounds` times.
QUICK = {"scale": 0.1, "rounds": 4, "deadline": 160.0, "slow_rounds": 1, "long": 4.0, "long_rounds": 1}
PYTHON = {"scale": 1.0, "rounds": 5, "deadline": None, "slow_rounds": 3, "long": 30.0, "long_rounds": 3}
FULL = {"scale": 1.0, "rounds": 7, "deadline": None, "slow_rounds": 3, "long": 30.0, "long_rounds": 3}


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


class Campaign:
    """All runs of one invocation."""

    def __init__(self, workloads, tools, settings, programs, scratch, timeout):
        self.workloads, self.tools, self.settings = workloads, tools, settings
        self.meter = os.path.join(programs, "measure")
        self.scratch, self.timeout = scratch, timeout
        self.results, self.errors, self.references, self.took = {}, {}, {}, {}
        self.end = time.monotonic() + settings["deadline"] if settings["deadline"] else None

    def scale_for(self, workload, tool):
        divide = tool.slow and workload.divided
        return self.settings["scale"] / (SLOW_DIVISOR if divide else 1)

    def rounds_for(self, workload, tool):
        rounds = self.settings["rounds"]
        if self.took.get((workload.name, tool.name, self.scale_for(workload, tool)), 0) > self.settings["long"]:
            rounds = min(rounds, self.settings["long_rounds"])
        if tool.slow:
            rounds = min(rounds, self.settings["slow_rounds"])
        return min(rounds, tool.rounds or rounds)

    def plan(self, workload, number):
        """(tool, scale) in the order of round `number`: for each scale the tools with their bare run."""
        bare = self.tools[0]
        by_scale = {}
        for tool in self.tools[1:]:
            if tool.accepts(workload) and number < self.rounds_for(workload, tool) and (
                    workload.name, tool.name) not in self.errors:
                by_scale.setdefault(self.scale_for(workload, tool), []).append(tool)
        if number == 0:
            by_scale.setdefault(self.settings["scale"], [])
        steps = []
        for scale, tools in by_scale.items():
            group = [(tool, scale) for tool in [bare, *tools]]
            steps += group if number % 2 == 0 else group[::-1]
        return steps

    def warm_up(self):
        """Files in the page cache, data made; and workloads that do not run here found out."""
        usable = []
        for workload in self.workloads:
            if workload.prepare:
                workload.prepare(self.settings["scale"])
            try:
                run_once(self.meter, workload, self.tools[0], self.settings["scale"] / 20, self.scratch, self.timeout)
                usable.append(workload)
            except RunFailed as error:
                say(f"{workload.name}: skipped, does not run bare: {error}")
        self.workloads = usable

    def run(self):
        """All rounds. Returns None, or why it ended before."""
        try:
            self.warm_up()
            for number in range(self.settings["rounds"]):
                for workload in self.workloads:
                    for tool, scale in self.plan(workload, number):
                        if not self.step(number, workload, tool, scale):
                            return f"time was up in round {number + 1} of {self.settings['rounds']}"
        except KeyboardInterrupt:
            return "stopped by Ctrl+C"
        return None

    def step(self, number, workload, tool, scale):
        key = (workload.name, tool.name, scale)
        if self.end and time.monotonic() + self.took.get(key, 0) > self.end:
            return False
        start = time.monotonic()
        try:
            run = run_once(self.meter, workload, tool, scale, self.scratch, self.timeout)
        except RunFailed as error:
            say(f"{workload.name} under {tool.name}: {error}")
            self.errors[workload.name, tool.name] = str(error)
            return True
        finally:
            self.took[key] = time.monotonic() - start
        run["round"] = number
        run["same"] = self.same(workload, scale, run)
        if not run["same"]:
            say(f"{workload.name} under {tool.name}: OUTPUT DIFFERS from the bare run")
        self.results.setdefault(key, []).append(run)
        say(f"round {number + 1}/{self.settings['rounds']}  {workload.name:14} {tool.name:18} "
            f"cpu {run['cpu']:7.2f} s  wall {run['wall']:7.2f} s  {run['peak_kib'] / 1024:7.0f} MiB")
        return True

    def same(self, workload, scale, run):
        """Is the output that of the first bare run? Tools may print lines of their own around it."""
        stdout, answer = run.pop("stdout"), run.pop("answer")
        expected = self.references.setdefault((workload.name, scale), (stdout, answer))
        return expected[0] in stdout and expected[1] == answer


def chosen(names, available, what):
    if not names:
        return available
    wanted = names.split(",")
    unknown = set(wanted) - {item.name for item in available}
    if unknown:
        sys.exit(f"bench: unknown {what}: {', '.join(sorted(unknown))}; there are "
                 f"{', '.join(item.name for item in available)}")
    return [item for item in available if item.name in wanted]


def arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the main tools, short runs, under three minutes")
    parser.add_argument("--python", action="store_true",
                        help=f"four Python programs under {', '.join(tool_list.PYTHON[1:])}")
    parser.add_argument("--all", action="store_true", help=f"also {', '.join(tool_list.EXTRA)}")
    parser.add_argument("--tools", help="only these, separated by commas (bare always runs)")
    parser.add_argument("--workloads", help="only these, separated by commas")
    parser.add_argument("--rounds", type=int, help="runs of each")
    parser.add_argument("--scale", type=float, help="length of the runs, 1 is full")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run (600)")
    parser.add_argument("--output", default=os.path.join(ROOT, "build", "bench"), help="directory of the results")
    return parser.parse_args()


def select(options, build):
    """The workloads and tools to run, and a line for each left out."""
    programs = suite.build_programs(build)
    skipped = []
    tools = chosen(options.tools and "bare," + options.tools, tool_list.all_tools(ROOT, build), "tool")
    if options.python and not options.tools:
        tools = [tool for tool in tools if tool.name in tool_list.PYTHON]
    elif not options.tools and not options.all:
        tools = [tool for tool in tools if tool.name not in tool_list.EXTRA]
    if options.quick and not options.tools:
        tools = [tool for tool in tools if tool.quick]
    workloads = chosen(options.workloads, suite.all_workloads(build, programs), "workload")
    if not options.workloads:
        workloads = [workload for workload in workloads if workload.main != options.python]
    if options.quick and not options.workloads and not options.python:
        workloads = [workload for workload in workloads if workload.quick]
    present = []
    for kind, items in (("tool", tools), ("workload", workloads)):
        present.append([])
        for item in items:
            why = item.absent()
            if why:
                skipped.append(f"{kind} {item.name} skipped: {why}")
                say(skipped[-1])
            else:
                present[-1].append(item)
    return present[1], present[0], skipped, programs


def main():
    options = arguments()
    build = os.path.abspath(options.output)
    scratch = os.path.join(build, "tmp")
    os.makedirs(scratch, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = dict(QUICK if options.quick else PYTHON if options.python else FULL)
    settings["rounds"] = options.rounds or settings["rounds"]
    settings["scale"] = options.scale or settings["scale"]
    begun = time.monotonic()
    document = {"command": shlex.join(["Tests/Bench/run", *sys.argv[1:]]), "machine": report.machine(ROOT)}
    try:
        workloads, tools, skipped, programs = select(options, build)
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench: {shlex.join(error.cmd)} failed")
    if settings["deadline"]:
        settings["deadline"] -= time.monotonic() - begun
    campaign = Campaign(workloads, tools, settings, programs, scratch, options.timeout)
    ended = campaign.run()

    summary = report.summarise(campaign.results, campaign.workloads, tools, campaign.errors)
    document["machine"]["load_at_end"] = os.getloadavg()
    document.update(
        settings=settings, interrupted=ended, skipped=skipped, summary=summary,
        overall=report.overall(summary, campaign.workloads),
        against_heaptrack=report.against(summary, [w for w in campaign.workloads if w.real], "memtrack",
                                         ("heaptrack", "heaptrack-raw")),
        against_python_tools=report.against(summary, [w for w in campaign.workloads if w.python], "memtrack-o",
                                            ("memray", "memray-objects", "tracemalloc", "tracemalloc-25")),
        runs=[{"workload": name, "tool": tool, "scale": scale, **run}
              for (name, tool, scale), runs in campaign.results.items() for run in runs])
    print(report.write(build, document, campaign.workloads, tools, settings["scale"]))
    say(f"{time.monotonic() - begun:.0f} s; results in {os.path.relpath(build)}/results.md and results.json")
    if ended == "stopped by Ctrl+C":
        return 130
    wrong = any(not entry.get("same_output", True) for entry in summary)
    ours = any(tool.startswith("memtrack") for _, tool in campaign.errors)
    return 1 if wrong or ours else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # before the first run: nothing to write
