# SPDX-License-Identifier: Apache-2.0
"""What the reader costs, and what else has a target of its own: one table, in build/bench/reader.md and reader.json.

snapshot   a region of 100,000 cells, read
checkpoint the launcher with -i 1 on a program of 20,000 cells and 16 threads: CPU of the launcher alone
symbols    10,000 addresses of a program with about 100 MB of .debug_info (made the first time, a minute), beside binutils'
           addr2line and heaptrack's interpreter on the same list
start      `memtrack-preload true` beside `true`
memory     what the library takes in a program with a heap of small, mixed and large blocks, and for each thread
events     the size of a region after 10^6 and after 10^9 (--quick: 10^8) pairs
census     memtrack objects of a Python program of 1.2 million objects: time of reading, and memory for each object
misses     a pair whose call stack is not that of the call before

CPU times are medians of several runs. Exit status: 0; 1 where a target is missed; 2 cannot be measured.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

import report
import suite
from measure import Scratch, clean_environment

ROOT = os.path.dirname(os.path.dirname(suite.HERE))
BUILD = os.path.join(ROOT, "build", "bench")
LIBRARY = os.path.join(ROOT, "build/lib/memtrack/libmemtrack_preload.so")
LAUNCHER = os.path.join(ROOT, "build/bin/memtrack-preload")
READER = os.path.join(ROOT, "build/bin/memtrack")
UNITS, ADDRESSES = 40, 10_000
HEAPTRACK = "/usr/lib/heaptrack/libexec/heaptrack_interpret"


class Table:
    """Figures with their targets."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, most=None, note=""):
        met = None if most is None else value <= most
        self.rows.append({"what": what, "value": value, "unit": unit, "target": most, "met": met, "note": note})
        target = "" if most is None else f"  (at most {most:g}{'' if met else ': MISSED'})"
        print(f"{what:58} {value:>12.4g} {unit}{target}{'  ' + note if note else ''}", flush=True)

    def markdown(self, machine):
        lines = ["# memtrack-preload: what the reader costs, and memory", "", f"{machine['cpu']}, {machine['libc']}; "
                 f"commit {machine['commit']}; load {machine['load_at_start'][0]:.2f}.", "",
                 "| what | measured | at most | |", "|---|--:|--:|---|"]
        for row in self.rows:
            target = "" if row["target"] is None else f"{row['target']:g} {row['unit']}"
            verdict = {None: "", True: "met", False: "**missed**"}[row["met"]]
            lines.append(f"| {row['what']} | {row['value']:.4g} {row['unit']} | {target} "
                         f"| {' '.join(filter(None, (verdict, row['note'])))} |")
        return "\n".join(lines) + "\n"


def run(command, environment=None, **options):
    return subprocess.run(command, env={**clean_environment(), **(environment or {})}, check=True, **options)


def cpu_of(command, environment=None, stdin=None):
    """CPU seconds of a command and its children."""
    before = os.times()
    with open(stdin or os.devnull, "rb") as source:
        run(command, environment, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


class Subject:
    """A program that runs under the library and has said that it is ready."""

    def __init__(self, command, prefix=(), environment=None):
        self.scratch = Scratch(os.path.join(BUILD, "tmp"))
        preload = {} if prefix else {"LD_PRELOAD": LIBRARY, "MEMTRACK_SESSION": self.scratch.memory}
        self.process = subprocess.Popen([*prefix, *command], env={**clean_environment(), **preload, **(environment or {})}, text=True,
                                        stdout=subprocess.PIPE, cwd=self.scratch.disk)
        self.said = self.process.stdout.readline().split()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.scratch.remove()

    def region(self):
        return os.path.join(self.scratch.memory, os.listdir(self.scratch.memory)[0])

    def report(self):
        told = run([READER, "report", "--region", self.region(), "--json"], stdout=subprocess.PIPE, text=True)
        return json.loads(told.stdout)


def snapshots(table, programs, bench, quick):
    for cells, threads, most in ((100_000, 1, 10), (20_000, 16, None)):
        with Subject([os.path.join(programs, "cells"), str(cells), str(threads), "60"]) as subject:
            told = run([bench, "snapshot", subject.region(), "20" if quick else "60"], stdout=subprocess.PIPE, text=True)
            first, _, _, cpu, found, banks = told.stdout.split()
            where = f"{int(found):,} cells, {banks} banks"
            table.add(f"snapshot, {where}", float(cpu), "ms", most)
            table.add(f"the first one, {where}", float(first), "ms", note="reads all stacks once")
            told = run([bench, "profile", subject.region(), "20"], stdout=subprocess.PIPE, text=True)
            table.add(f"snapshot and sums by site, {where}", float(told.stdout.split()[3]), "ms")


def checkpoints(table, programs, seconds):
    prefix = [LAUNCHER, "-i", "1", "--report", "report.txt", "--history-dir", "history", "--"]
    with Subject([os.path.join(programs, "cells"), "20000", "16", str(seconds + 30)], prefix) as subject:
        def cpu():
            with open(f"/proc/{subject.process.pid}/schedstat", encoding="ascii") as file:
                return int(file.read().split()[0]) / 1e9
        time.sleep(6)  # names are looked up
        before, start = cpu(), time.monotonic()
        time.sleep(seconds)
        share = (cpu() - before) / (time.monotonic() - start)
        table.add("launcher, -i 1, 20,000 cells, 16 threads", share * 100, "% of a core", 0.5)


def large_program(build):
    """A program with about 100 MB of .debug_info; made once."""
    directory = os.path.join(build, "large")
    program = os.path.join(directory, "large")
    source = os.path.join(suite.SOURCES, "unit.cc")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    print("reader: making a program with 100 MB of debug information ...", file=sys.stderr)
    os.makedirs(directory, exist_ok=True)
    first = os.path.join(directory, "unit.o")
    run(["g++", "-std=c++17", "-O1", "-g", "-DENTRY=entry_0", "-c", source, "-o", first])
    objects = []
    for number in range(UNITS):
        objects.append(os.path.join(directory, f"unit-{number}.o"))
        run(["objcopy", "--redefine-sym", f"entry_0=entry_{number}", first, objects[-1]])
    calls = "".join(f"long entry_{n}(int);\n" for n in range(UNITS))
    calls += "int main(int count, char **arguments)\n{\n    (void)arguments;\n    return (int)("
    calls += " + ".join(f"entry_{n}(count)" for n in range(UNITS)) + ") & 1;\n}\n"
    main = os.path.join(directory, "main.c")
    with open(main, "w", encoding="ascii") as file:
        file.write(calls)
    run(["cc", "-g", "-c", main, "-o", main + ".o"])
    run(["g++", *objects, main + ".o", "-o", program + ".new"])
    os.rename(program + ".new", program)
    for path in objects:
        os.remove(path)
    return program


def addresses_of(program):
    """Spread evenly over the functions of the program; the same each time."""
    told = run(["nm", "-S", "--defined-only", program], stdout=subprocess.PIPE, text=True).stdout
    symbols = sorted({(int(f[0], 16), int(f[1], 16)) for f in map(str.split, told.splitlines())
                      if len(f) == 4 and f[2] in "tTwW"})
    total = sum(size for _, size in symbols)
    source = random.Random(1)
    points = sorted(source.sample(range(total), ADDRESSES))
    found, passed, index = [], 0, 0
    for start, size in symbols:
        while index < len(points) and points[index] < passed + size:
            found.append(start + points[index] - passed)
            index += 1
        passed += size
    source.shuffle(found)
    return found


def heaptrack_input(program, addresses, path):
    """The list as heaptrack's preload library would write it: return addresses of one allocation each."""
    base = 0x555555554000
    told = run(["readelf", "-lW", program], stdout=subprocess.PIPE, text=True).stdout
    loads = [line.split() for line in told.splitlines() if line.strip().startswith("LOAD")]
    with open(path, "w", encoding="ascii") as file:
        file.write(f"v 10400 3\nx {len(program):x} {program}\nX {program}\nI 1000 100000\nm 1 -\n")
        segments = " ".join(f"{int(load[2], 16):x} {int(load[5], 16):x}" for load in loads)
        file.write(f"m 1 x {base:x} {segments}\n")
        for number, address in enumerate(addresses):
            file.write(f"t {base + address + 1:x} 0\n+ 10 {number + 1:x} {0x7f0000000000 + number * 32:x}\n")


def symbols(table, build, bench, rounds):
    program = large_program(build)
    told = run(["readelf", "-SW", program], stdout=subprocess.PIPE, text=True).stdout
    size = next(int(line.split(".debug_info")[1].split()[3], 16) for line in told.splitlines() if ".debug_info " in line)
    table.add("size of .debug_info", size / 1e6, "MB")
    addresses = addresses_of(program)
    listed = os.path.join(build, "large", "addresses")
    with open(listed, "w", encoding="ascii") as file:
        file.write("".join(f"{address:x}\n" for address in addresses))
    raw = os.path.join(build, "large", "heaptrack.raw")
    heaptrack_input(program, addresses, raw)
    peers = [("memtrack", [bench, "symbols", program], listed),
             ("addr2line", ["addr2line", "-e", program, "-f", "-i", "-C"], listed)]
    if os.path.exists(HEAPTRACK):
        peers.append(("heaptrack_interpret", [HEAPTRACK], raw))
    times = {name: [] for name, _, _ in peers}
    for _ in range(rounds):
        for name, command, source in peers:
            times[name].append(cpu_of(command, stdin=source))
    ours = statistics.median(times["memtrack"])
    table.add(f"{len(addresses):,} addresses: CPU, the whole process", ours, "s", 1)
    for name, _, _ in peers[1:]:
        theirs = statistics.median(times[name])
        table.add(f"the same list: {name}", theirs, "s")
        table.add(f"memtrack's time divided by that of {name}", ours / theirs, "", 1)


def start(table, rounds):
    walls = {"true": [], "memtrack-preload true": []}
    for _ in range(rounds):
        for name, command in (("true", ["/bin/true"]),
                              ("memtrack-preload true", [LAUNCHER, "--no-history", "/bin/true"])):
            begun = time.monotonic()
            run(command, stderr=subprocess.DEVNULL)
            walls[name].append((time.monotonic() - begun) * 1e3)
    bare, ours = (statistics.median(times) for times in walls.values())
    table.add("true", bare, "ms")
    table.add("memtrack-preload true: wall, over true", ours - bare, "ms", 40)


def memory(table, programs, quick):
    """At most 15 % of the heap, 6 MB, and 64 KB a thread."""
    size = 128 if quick else 512
    for name, smallest, largest, threads in (("16 to 64 bytes", 16, 64, 1), ("16 to 4096 bytes", 16, 4096, 1),
                                             ("64 KB to 1 MB", 65536, 1 << 20, 1), ("64 KB to 1 MB", 65536, 1 << 20, 100),
                                             ("16 to 4096 bytes", 16, 4096, 100)):
        command = [os.path.join(programs, "heap"), str(size), str(smallest), str(largest), str(threads), "60"]
        with Subject(command) as subject:
            told = subject.report()
            # The heap as the kernel sees it: blocks with the allocator's headers, without what is ours.
            own = told["memtrackBytes"]
            rss = told["processes"][0]["figures"]["rssBytes"]
        most = 0.15 * rss + 6e6 + 64e3 * (threads + 1)
        table.add(f"own memory, {size} MB of {name}, {threads} thread{'s' if threads > 1 else ''}", own / 1e6, "MB",
                  most / 1e6, f"{own / rss:.1%} of a heap of {rss / 1e6:.0f} MB")


OBJECTS = """
import sys, time
class Session:
    def __init__(self, i):
        self.id = i
        self.items = [i, i]
        self.meta = {"id": i}
kept = [Session(i + 1000) for i in range(int(sys.argv[1]))]
print("ready", flush=True)
time.sleep(60)
"""


def census(table, rounds):
    """Of 1 million objects in at most 1 s, and 64 bytes of the reader's memory each."""
    def look(sessions):
        # Debian's interpreter has no debug information, whose reading would take more memory than the census.
        with Subject(["/usr/bin/python3", "-c", OBJECTS, str(sessions)], environment={"MEMTRACK_OBJECTS": "1"}) as subject:
            reader = subprocess.Popen([READER, "objects", "--region", subject.region(), "--json"],
                                      env=clean_environment(), stdout=subprocess.PIPE)
            told = json.load(reader.stdout)["objects"]
            reader.stdout.close()
            _, status, usage = os.wait4(reader.pid, 0)
            reader.returncode = status
            return told, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime
    few, base, own = look(0)
    looks = [look(300_000) for _ in range(rounds)]
    told = looks[0][0]
    count = (told["count"] - few["count"]) / 1e6
    where = f"{told['count']:,} objects, {told['blocks']:,} blocks"
    table.add(f"census, {where}", statistics.median(each[0]["readingSeconds"] for each in looks), "s")
    table.add("for a million objects", statistics.median(each[0]["readingSeconds"] for each in looks) / count, "s", 1)
    table.add("CPU of memtrack objects, for a million objects",
              (statistics.median(each[2] for each in looks) - own) / count, "s", 1)
    table.add("memory of the reader for each object",
              (statistics.median(each[1] for each in looks) - base) / (count * 1e6), "B", 64)


def events(table, programs, quick):
    sizes = {}
    for pairs in (10 ** 6, 10 ** 8 if quick else 10 ** 9):
        scratch = Scratch(os.path.join(BUILD, "tmp"))
        try:
            run([os.path.join(programs, "pair"), str(pairs), "20"],
                {"LD_PRELOAD": LIBRARY, "MEMTRACK_SESSION": scratch.memory}, stdout=subprocess.DEVNULL)
            path = os.path.join(scratch.memory, os.listdir(scratch.memory)[0])
            sizes[pairs] = os.stat(path).st_blocks * 512
            told = run([READER, "report", "--region", path, "--json"], stdout=subprocess.PIPE, text=True)
            counted = json.loads(told.stdout)["totals"]["allocations"]
            if counted < pairs:
                sys.exit(f"reader: {pairs} pairs, {counted} counted")
            table.add(f"region after {pairs:.0e} pairs", sizes[pairs] / 1e3, "KB")
        finally:
            scratch.remove()
    few, many = sizes.values()
    table.add("growth of the region from the few to the many", (many - few) / 1e3, "KB", 0)


def misses(table, programs, rounds):
    # "new" fills half of the table of frames, which has room for two million.
    for kind, pairs, most in (("new", 50_000, 500), ("changed", 1_000_000, 500), ("inner", 2_000_000, 200),
                              ("inner-new", 50_000, 200)):
        added = []
        for _ in range(rounds):
            nanoseconds = []
            for preload in (False, True):
                scratch = Scratch(os.path.join(BUILD, "tmp"))
                try:
                    timing = os.path.join(scratch.disk, "timing")
                    settings = {"LD_PRELOAD": LIBRARY, "MEMTRACK_SESSION": scratch.memory} if preload else {}
                    run([os.path.join(programs, "misses"), str(pairs), "40", kind],
                        {"BENCH_TIMING": timing, **settings}, stdout=subprocess.DEVNULL)
                    with open(timing, encoding="ascii") as file:
                        count, spent = map(int, file.read().split())
                    nanoseconds.append(spent / count)
                finally:
                    scratch.remove()
            added.append(nanoseconds[1] - nanoseconds[0])
        text = {"new": "a stack never seen", "changed": "one of 2,048 stacks, at random",
                "inner": "the innermost 3 frames change",
                "inner-new": "a stack never seen, its innermost frames alone are new"}[kind]
        table.add(f"added to a pair at depth 40, {text}", statistics.median(added), "ns", most)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, about a minute")
    parser.add_argument("--only", help="only these parts, separated by commas")
    options = parser.parse_args()
    os.makedirs(os.path.join(BUILD, "tmp"), exist_ok=True)
    bench = os.path.join(ROOT, ".build/release/reader-bench")
    for path in (LIBRARY, LAUNCHER, READER, bench):
        if not os.path.exists(path):
            print(f"reader: {path} is not built (make bench-reader)", file=sys.stderr)
            return 2
    table, machine, quick = Table(), report.machine(ROOT), options.quick
    try:
        programs = suite.build_programs(BUILD)
        parts = {
            "snapshot": lambda: snapshots(table, programs, bench, quick),
            "checkpoint": lambda: checkpoints(table, programs, 6 if quick else 20),
            "symbols": lambda: symbols(table, BUILD, bench, 1 if quick else 5),
            "start": lambda: start(table, 10 if quick else 40),
            "memory": lambda: memory(table, programs, quick),
            "events": lambda: events(table, programs, quick),
            "census": lambda: census(table, 1 if quick else 5),
            "misses": lambda: misses(table, programs, 2 if quick else 5),
        }
        for name in options.only.split(",") if options.only else parts:
            if name not in parts:
                sys.exit(f"reader: unknown part '{name}'; there are {', '.join(parts)}")
            parts[name]()
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"reader: {error}", file=sys.stderr)
        return 2
    report.replace(os.path.join(BUILD, "reader.json"), json.dumps({"machine": machine, "rows": table.rows}, indent=1) + "\n")
    report.replace(os.path.join(BUILD, "reader.md"), table.markdown(machine))
    missed = [row["what"] for row in table.rows if row["met"] is False]
    print(f"results in {os.path.relpath(BUILD)}/reader.md and reader.json; {len(missed)} of "
          f"{sum(row['met'] is not None for row in table.rows)} targets missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
