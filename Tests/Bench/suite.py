# SPDX-License-Identifier: Apache-2.0
"""The workloads: what is built, what is run, what its answer must be.

`scale` 1 is the full size (one to five seconds bare on a 2020s x86-64 core); work is proportional to it.
"""
import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys

import redis_load

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "workloads")
# -fno-builtin-malloc: a compiler may remove a pair whose block is not used.
C_FLAGS = ["-O2", "-g", "-Wall", "-Wextra", "-fno-builtin-malloc", "-fno-builtin-free", "-pthread"]


class Workload:
    """loop:   times itself, in pairs
    divided: scaled down for slow tools; loops are
    real:   one of the real programs that count for the geometric mean
    python: a Python program: memray and tracemalloc can run it
    quick:  part of bench-quick
    main:   part of the suite; else only where it is asked for (--python)
    """

    def __init__(self, name, about, command, *, loop=False, divided=False, real=False, python=False, quick=True, main=True, needs=(), environment=None,
                 output_file=None, drive=None, prepare=None):
        self.name = name
        self.about = about
        self.make_command = command
        self.loop = loop
        self.divided = divided or loop
        self.real = real
        self.python = python
        self.quick = quick
        self.main = main
        self.needs = needs
        self.environment = environment or {}
        self.output_file = output_file
        self.drive = drive
        self.prepare = prepare

    def absent(self):
        missing = [name for name in self.needs if not shutil.which(name)]
        return f"{', '.join(missing)} not installed" if missing else None

    def command(self, scale, directory):
        """(argument vector, environment to add) for a run in `directory`."""
        return self.make_command(scale, directory), dict(self.environment)

    def answer(self, stdout, directory, driven):
        """What must be equal under every tool, beside stdout: digest of the output file, or of the replies."""
        if driven:
            return driven["answer"]
        if self.output_file:
            with open(os.path.join(directory, self.output_file), "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        return None


def whole(count, scale, least=1):
    return str(max(least, int(count * scale)))


def build_programs(build):
    """Compiles what has changed; returns the directory of the programs. Raises CalledProcessError."""
    directory = os.path.join(build, "programs")
    os.makedirs(directory, exist_ok=True)
    names = {"measure": os.path.join(HERE, "measure.c")}
    for name in ("pair.c", "sites.c", "handoff.c", "parser.c", "churn.cc", "cells.c", "misses.c", "heap.c"):
        names[name.split(".")[0]] = os.path.join(SOURCES, name)
    header = os.path.join(SOURCES, "timing.h")
    for name, source in names.items():
        target = os.path.join(directory, name)
        newest = max(os.path.getmtime(source), os.path.getmtime(header), os.path.getmtime(__file__))
        if os.path.exists(target) and os.path.getmtime(target) > newest:
            continue
        compiler = ["c++", "-std=c++17"] if source.endswith(".cc") else ["cc", "-std=gnu11"]
        subprocess.run([*compiler, *C_FLAGS, source, "-o", target], check=True)
    return directory


def json_file(data, scale):
    """A JSON array of about 30 MB x scale, the same each time; made once."""
    size = int(30e6 * scale)
    path = os.path.join(data, f"records-{size}.json")
    if os.path.exists(path):
        return path
    source = random.Random(1)
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write("[\n")
        number = 0
        while file.tell() < size:
            record = {"id": number, "kind": f"k{source.randrange(200)}", "name": f"name-{source.randrange(50000)}",
                      "amount": source.randrange(10 ** 6) / 100,
                      "tags": [f"t{source.randrange(100)}" for _ in range(source.randrange(6))],
                      "text": "x" * source.randrange(80)}
            file.write((",\n" if number else "") + json.dumps(record))
            number += 1
        file.write("\n]\n")
    os.rename(path + ".new", path)
    return path


def sql_file(data, scale):
    rows = whole(500_000, scale, 1000)
    path = os.path.join(data, f"rows-{rows}.sql")
    with open(os.path.join(SOURCES, "rows.sql"), encoding="ascii") as source:
        text = "".join(line for line in source if not line.startswith("--")).replace("ROWS", rows)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def compiler_command(scale):
    """The compiler proper, as `g++ -###` says it would start it. Not through g++: a tool that does not follow
    children would see the driver alone, and seem to cost nothing."""
    small = ["-DBENCH_SMALL"] if scale < 0.5 else []
    asked = subprocess.run(
        ["g++", "-###", "-std=c++17", "-O0", "-S", *small, "-o", "out.s", os.path.join(SOURCES, "headers.cc")],
        env={**os.environ, "LC_ALL": "C"}, stderr=subprocess.PIPE, text=True, check=True).stderr
    for line in asked.splitlines():
        if line.startswith(" ") and "cc1plus" in line:
            return shlex.split(line)
    raise RuntimeError("g++ -### names no cc1plus")


def all_workloads(build, programs):
    """The workloads of the suite, in the order of the report."""
    data = os.path.join(build, "data")
    os.makedirs(data, exist_ok=True)
    # The interpreter itself: `python3` may be a script that starts it.
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))

    def program(name):
        return os.path.join(programs, name)

    def pair(depth):
        return Workload(f"pair-{depth}", f"64-byte malloc+free in a loop, call depth {depth}",
                        lambda scale, _: [program("pair"), whole(200e6, scale), str(depth)], loop=True)

    def sites(threads):
        return Workload(f"sites-{threads}t", "1,000 sites, depth 20, 16-4096 bytes, 100,000 live, "
                        f"{threads} thread{'s' if threads > 1 else ''}",
                        lambda scale, _: [program("sites"), whole(3e6, scale), str(threads)], loop=True, quick=threads != 2)

    def python_json(name, about, environment):
        return Workload(name, about, lambda scale, _: [python, os.path.join(SOURCES, "json_work.py"), whole(100, scale)],
                        real=True, python=True, environment={"PYTHONHASHSEED": "0", **environment})

    def python_program(name, about, file, rounds):
        return Workload(name, about, lambda scale, _: [python, os.path.join(SOURCES, file), whole(rounds, scale)],
                        python=True, quick=False, main=False, environment={"PYTHONHASHSEED": "0"})

    redis = redis_load.RedisLoad()
    return [
        pair(1), pair(20), pair(40), sites(1), sites(2), sites(4),
        Workload("handoff", "allocated in one thread, freed in another",
                 lambda scale, _: [program("handoff"), whole(30e6, scale)], loop=True),
        python_json("python", "python3: json, with its own small-object allocator", {}),
        python_json("python-malloc", "python3: json, PYTHONMALLOC=malloc", {"PYTHONMALLOC": "malloc"}),
        Workload("sqlite", "sqlite3: 500,000 rows in memory",
                 lambda scale, _: ["sqlite3", "-batch", ":memory:", f".read {sql_file(data, scale)}"],
                 real=True, needs=("sqlite3",)),
        Workload("jq", "jq: group 30 MB of records",
                 lambda scale, _: ["jq", "-c", "-f", os.path.join(SOURCES, "group.jq"), json_file(data, scale)],
                 real=True, needs=("jq",), prepare=lambda scale: json_file(data, scale)),
        Workload("cc1plus", "g++ -O0 (the compiler proper) on a file of many headers",
                 lambda scale, _: compiler_command(scale), real=True, needs=("g++",), output_file="out.s"),
        Workload("perl", "perl: hashes of arrays of strings",
                 lambda scale, _: ["perl", os.path.join(SOURCES, "work.pl"), whole(400, scale)],
                 real=True, needs=("perl",), environment={"PERL_HASH_SEED": "0"}),
        Workload("churn", "C++ maps, strings, vectors on 4 threads",
                 lambda scale, _: [program("churn"), whole(240, scale)], real=True),
        Workload("redis", "redis-server under redis-benchmark (its own jemalloc)",
                 redis.command, real=True, needs=("redis-server", "redis-benchmark", "redis-cli"), drive=redis.drive),
        Workload("parser", "recursive-descent parser, 300 frames deep",
                 lambda scale, _: [program("parser"), whole(120_000, scale), "100"], real=True, divided=True),
        python_program("python-json", "json: parse, change, print", "json_work.py", 160),
        python_program("python-strings", "strings: format, join, split, slice", "python_strings.py", 2400),
        python_program("python-classes", "instances: a cache of sessions, a tree, records", "python_classes.py", 1200),
        python_program("python-async", "asyncio: tasks, futures, queues", "python_async.py", 600),
    ]
