# SPDX-License-Identifier: Apache-2.0
"""Exactness on every workload of the suite, each run small.

counts: allocations, bytes and frees of each process image equal those of an independent counter
        (Tests/Shim/counter.c), which stands behind the library as its next allocator and sees the same calls.
stacks: every stack, also those that the memo answered, equals libunwind's of that moment, frame by frame and in
        length (MEMTRACK_VERIFY_STACKS). Code without unwind information is compared up to there: `skipped`.

Exit status: 0 all equal; 1 something differs, or was not compared, or did not run; 2 cannot be measured here.
"""
import argparse
import collections
import json
import os
import struct
import subprocess
import sys

import suite
from measure import RunFailed, run_once
from tools import Memtrack

ROOT = os.path.dirname(os.path.dirname(suite.HERE))
LEAST_STACKS = 100


def regions(reader, directory):
    """The report of each region as JSON, in the order in which the images began."""
    found = []
    for name in sorted(os.listdir(directory), key=lambda name: (len(name), name)):
        if name.startswith("region-"):
            done = subprocess.run([reader, "report", "--region", os.path.join(directory, name), "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                raise RunFailed(f"memtrack report: {ascii(done.stderr.strip()[-200:])}")
            found.append(json.loads(done.stdout))
    return found


class Counted(Memtrack):
    """The library, and the counter behind it."""

    def __init__(self, library, counter, reader):
        super().__init__(library)
        self.counter, self.reader = counter, reader

    def wrap(self, command, scratch):
        os.mkdir(os.path.join(scratch.disk, "counts"))
        return command, {"LD_PRELOAD": f"{self.library} {self.counter}", "MEMTRACK_SESSION": scratch.memory,
                         "COUNTER_DIRECTORY": os.path.join(scratch.disk, "counts")}, None

    def collect(self, scratch):
        """(ours, theirs): {PID: [(allocations, bytes, frees) of an image]}"""
        ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
        for report in regions(self.reader, scratch.memory):
            totals, health = report["totals"], report["health"]
            ours[report["pid"]].append((totals["allocations"] + health["uncountedAllocations"],
                                        totals["allocatedBytes"] + health["uncountedBytes"],
                                        totals["frees"] + health["unknownFrees"]))
        folder = os.path.join(scratch.disk, "counts")
        for name in sorted(os.listdir(folder), key=lambda name: [int(part) for part in name.split("-")]):
            with open(os.path.join(folder, name), "rb") as file:
                theirs[int(name.split("-")[0])].append(struct.unpack("<3Q", file.read(24)))
        return dict(ours), dict(theirs)


class Verified(Memtrack):
    """The library, each stack checked."""

    def __init__(self, library, reader):
        super().__init__(library)
        self.reader = reader

    def wrap(self, command, scratch):
        return command, {"LD_PRELOAD": self.library, "MEMTRACK_SESSION": scratch.memory,
                         "MEMTRACK_VERIFY_STACKS": "1"}, None

    def collect(self, scratch):
        names = ("verifiedStacks", "verifySkipped", "verifyMismatches", "walks", "fullWalks")
        sums = dict.fromkeys(names, 0)
        for report in regions(self.reader, scratch.memory):
            for name in names:
                sums[name] += report["health"][name]
        return sums


def check_counts(run):
    """(text, is equal)"""
    ours, theirs = run["found"]
    total = sum(image[0] for images in ours.values() for image in images)
    if ours == theirs and total > 0:
        return f"{total} allocations", True
    return f"DIFFER: ours {ours}, counter's {theirs}", False


def check_stacks(run):
    found = run["found"]
    text = (f"{found['verifiedStacks']} equal, {found['verifySkipped']} skipped, {found['walks']} walks, "
            f"{found['fullWalks']} by the full unwinder")
    if found["verifyMismatches"]:
        return f"{found['verifyMismatches']} DIFFER of {found['verifiedStacks']}", False
    if found["verifiedStacks"] < LEAST_STACKS:
        return f"TOO FEW COMPARED: {text}", False
    return text, True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.01, help="length of the runs, 1 is full (0.01)")
    parser.add_argument("--workloads", help="only these, separated by commas")
    options = parser.parse_args()
    build = os.path.join(ROOT, "build", "bench")
    scratch = os.path.join(build, "tmp")
    os.makedirs(scratch, exist_ok=True)
    library = os.path.join(ROOT, "build/lib/memtrack/libmemtrack_preload.so")
    reader = os.path.join(ROOT, "build/bin/memtrack")
    for path in (library, reader):
        if not os.path.exists(path):
            print(f"verify: {path} is not built (make build)", file=sys.stderr)
            return 2
    try:
        programs = suite.build_programs(build)
        counter = os.path.join(programs, "counter.so")
        subprocess.run(["cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-fno-builtin", "-o", counter,
                        os.path.join(ROOT, "Tests/Shim/counter.c"), "-ldl"], check=True)
    except subprocess.CalledProcessError as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    kinds = (("counts", Counted(library, counter, reader), check_counts),
             ("stacks", Verified(library, reader), check_stacks))
    wrong = 0
    wanted = options.workloads.split(",") if options.workloads else None
    for workload in suite.all_workloads(build, programs):
        if wanted and workload.name not in wanted:
            continue
        why = workload.absent()
        if why:
            print(f"{workload.name:14} skipped: {why}")
            continue
        if workload.prepare:
            workload.prepare(options.scale)
        for kind, tool, check in kinds:
            # libunwind takes microseconds a stack: the loops are shorter still.
            scale = options.scale / (20 if workload.loop and kind == "stacks" else 1)
            try:
                text, is_equal = check(run_once(os.path.join(programs, "measure"), workload, tool, scale, scratch, 300))
            except RunFailed as error:
                text, is_equal = f"FAILED: {error}", False
            wrong += not is_equal
            print(f"{workload.name:14} {kind}  {text}", flush=True)
    print(f"{wrong} wrong" if wrong else "all equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
