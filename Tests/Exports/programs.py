# SPDX-License-Identifier: Apache-2.0
"""Compiles and profiles the programs of these tests, once, and exports their profiles."""
import functools
import json
import os
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DIRECTORY = tempfile.TemporaryDirectory(prefix="memtrack-exports-")
SCRATCH = pathlib.Path(DIRECTORY.name)


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=SCRATCH)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def compiled(name, source, *options):
    compiler = "c++" if source.endswith(".cpp") else "cc"
    run(compiler, "-g", *options, f"-I{ROOT}/CShim/include", HERE / source, "-o", SCRATCH / name)
    return SCRATCH / name


TYPED = """
import time
class Entry: pass
kept = []
for _ in range(12):
    kept += [Entry() for _ in range(500)]
    time.sleep(0.1)
"""


@functools.cache
def profile(name):
    """The service as built first or second, the program with many stacks, or a Python program with its object types."""
    if name == "typed":
        path = SCRATCH / "typed.pb.gz"
        run(ROOT / "build/bin/memtrack-preload", "-q", "-o", "--no-history", "-i", "0.3", "--output", path,
            "/usr/bin/python3", "-c", TYPED)
        return path
    program = {
        "first": lambda: compiled("service-1.0", "service.cpp", "-O2"),
        "second": lambda: compiled("service-1.1", "service.cpp", "-O1", "-DSECOND"),
        "many": lambda: compiled("many", "many.c", "-O1"),
    }[name]()
    path = SCRATCH / f"{name}.pb.gz"
    run(ROOT / "build/bin/memtrack-preload", "-q", "--no-history", "-i", "0.2", "--output", path, program)
    return path


@functools.cache
def exported(name, format, *options):
    # Not NAME.json: that is the companion of NAME.pb.gz.
    path = SCRATCH / f"{name}-exported.{format}"
    run(ROOT / "build/bin/memtrack", "export", profile(name), "--format", format, "--output", path, *options)
    return path


@functools.cache
def report(name):
    """The figures to compare with: the report as JSON."""
    return json.loads(exported(name, "json").read_text())


def stacks(name):
    """Each stack as the names of its functions, innermost first, and its counters."""
    figures = report(name)
    for site in figures["sites"]:
        for stack in site["stacks"]:
            yield [figures["frames"][place]["function"] for place in stack["frames"]], stack


def grouped(number):
    return f"{number:,}"
