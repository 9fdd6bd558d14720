# SPDX-License-Identifier: Apache-2.0
"""The tools compared: how each is put around a command, and why one is left out."""
import glob
import os
import shutil
import subprocess
import sys

from measure import clean_environment


class Tool:
    """One way of running a program.

    slow:   costs so much that loops are scaled down for it (with a bare run of their own to compare with)
    quick:  part of bench-quick
    rounds: at most this many rounds (None: all)
    """

    slow = False
    quick = False
    rounds = None
    python_only = False

    def __init__(self, name, note=""):
        self.name = name
        self.note = note

    def absent(self):
        """Why the tool cannot be used here, or None."""
        return None

    def accepts(self, workload):
        return workload.python or not self.python_only

    def wrap(self, command, scratch):
        """(command to run, environment to add, FIFO to drain or None)"""
        raise NotImplementedError

    def collect(self, scratch):
        """What else the run has left, before it is removed; None for nothing."""
        return None

    def output_directory(self, scratch):
        """Where the tool leaves its files during a run; None where it leaves none."""
        return os.path.join(scratch.disk, "out")


class Bare(Tool):
    quick = True

    def wrap(self, command, scratch):
        return command, {}, None

    def output_directory(self, scratch):
        return None


class Memtrack(Tool):
    quick = True

    def __init__(self, library, objects=False):
        super().__init__("memtrack-o" if objects else "memtrack",
                         "the same with MEMTRACK_OBJECTS=1: Python's small objects, by Python call stack" if objects else
                         "our library preloaded alone, its session in /dev/shm")
        self.library = library
        self.settings = {"MEMTRACK_OBJECTS": "1"} if objects else {}
        self.quick = not objects
        self.python_only = objects

    def absent(self):
        return None if os.path.exists(self.library) else f"{self.library} is not built (make shim)"

    def wrap(self, command, scratch):
        return command, {"LD_PRELOAD": self.library, "MEMTRACK_SESSION": scratch.memory, **self.settings}, None

    def output_directory(self, scratch):
        return scratch.memory


class MemtrackLauncher(Tool):
    def __init__(self, program, objects=False):
        super().__init__("memtrack-launcher-o" if objects else "memtrack-launcher",
                         f"memtrack-preload {'-o ' if objects else ''}-i 1 --no-history --report FILE: library, reader, "
                         f"symbols, {'object types, ' if objects else ''}a checkpoint a second and the final report")
        self.program = program
        self.options = ["-o"] if objects else []
        self.quick = not objects
        self.python_only = objects

    def absent(self):
        return None if os.path.exists(self.program) else f"{self.program} is not built (make build)"

    def wrap(self, command, scratch):
        # To a file: standard error is compared with nothing, and -q would look up no name at all.
        return [self.program, *self.options, "-i", "1", "--no-history", "--report", os.path.join(scratch.disk, "report"),
                *command], {}, None

    def output_directory(self, scratch):
        return None  # its session is gone when it ends, and no history was asked for


class Heaptrack(Tool):
    slow = True
    quick = True
    rounds = 3

    def __init__(self):
        super().__init__("heaptrack", "heaptrack -o FILE, as people run it: preload, interpreter, compressor")

    def absent(self):
        return None if shutil.which("heaptrack") else "heaptrack is not installed"

    def wrap(self, command, scratch):
        directory = self.output_directory(scratch)
        os.mkdir(directory)
        return ["heaptrack", "-o", os.path.join(directory, "profile"), *command], {}, None


class HeaptrackRaw(Tool):
    slow = True
    rounds = 3

    def __init__(self):
        super().__init__("heaptrack-raw", "heaptrack's preload library alone, events into a pipe that is drained "
                         "by a process not counted; written: the bytes through the pipe")

    def library(self):
        program = shutil.which("heaptrack")
        if not program:
            return None
        base = os.path.dirname(os.path.dirname(os.path.realpath(program)))
        for folder in ("lib/heaptrack", "lib64/heaptrack", "lib/*/heaptrack"):
            for path in glob.glob(os.path.join(base, folder, "libheaptrack_preload.so")):
                return os.path.realpath(path)
        return None

    def absent(self):
        return None if self.library() else "libheaptrack_preload.so is not installed"

    def wrap(self, command, scratch):
        fifo = os.path.join(scratch.disk, "events")
        return command, {"LD_PRELOAD": self.library(), "DUMP_HEAPTRACK_OUTPUT": fifo}, fifo


class Massif(Tool):
    slow = True
    rounds = 1

    def __init__(self):
        super().__init__("massif", "valgrind --tool=massif")

    def absent(self):
        return None if shutil.which("valgrind") else "valgrind is not installed"

    def wrap(self, command, scratch):
        directory = self.output_directory(scratch)
        os.mkdir(directory)
        return ["valgrind", "-q", "--tool=massif", f"--massif-out-file={directory}/massif.%p", *command], {}, None


def loadable(name):
    """Path of a shared library that the loader finds, or None."""
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return None


class Jemalloc(Tool):
    """jemalloc's own profiler; without `profile` the allocator alone, the base to compare that with."""

    def __init__(self, profile):
        super().__init__("jemalloc-prof" if profile else "jemalloc",
                         "jemalloc preloaded, MALLOC_CONF=prof:true: a sample every 512 KiB" if profile else
                         "jemalloc preloaded, no profiler: what the other allocator itself changes")
        self.profile = profile
        self.path = loadable("libjemalloc.so.2")

    def absent(self):
        if not self.path:
            return "libjemalloc.so.2 is not installed"
        if self.profile:
            told = subprocess.run(["true"], env={**clean_environment(), "LD_PRELOAD": self.path,
                                                 "MALLOC_CONF": "prof:true"}, stderr=subprocess.PIPE, check=False)
            if told.stderr:
                return "libjemalloc.so.2 is built without its profiler"
        return None

    def wrap(self, command, scratch):
        if not self.profile:
            return command, {"LD_PRELOAD": self.path}, None
        directory = self.output_directory(scratch)
        os.mkdir(directory)
        return command, {"LD_PRELOAD": self.path,
                         "MALLOC_CONF": f"prof:true,prof_final:true,prof_prefix:{directory}/j"}, None

    def output_directory(self, scratch):
        return super().output_directory(scratch) if self.profile else None


class Tcmalloc(Tool):
    def __init__(self, profile):
        super().__init__("tcmalloc-heap" if profile else "tcmalloc",
                         "tcmalloc preloaded, HEAPPROFILE: every allocation with its stack" if profile else
                         "tcmalloc preloaded, no profiler: what the other allocator itself changes")
        self.profile = profile
        self.slow = profile
        self.path = loadable("libtcmalloc.so.4")
        if profile:
            self.rounds = 1

    def absent(self):
        return None if self.path else "libtcmalloc.so.4 is not installed"

    def wrap(self, command, scratch):
        if not self.profile:
            return command, {"LD_PRELOAD": self.path}, None
        directory = self.output_directory(scratch)
        os.mkdir(directory)
        return command, {"LD_PRELOAD": self.path, "HEAPPROFILE": f"{directory}/t"}, None

    def output_directory(self, scratch):
        return super().output_directory(scratch) if self.profile else None


class Tracemalloc(Tool):
    python_only = True

    def __init__(self, frames):
        super().__init__(f"tracemalloc-{frames}" if frames > 1 else "tracemalloc",
                         f"python3 -X tracemalloc={frames}: the interpreter's own, "
                         f"{'the line' if frames == 1 else 'up to 25 frames'} of each block; nothing is written")
        self.frames = frames
        self.rounds = 1 if frames > 1 else None

    def wrap(self, command, scratch):
        return [command[0], "-X", f"tracemalloc={self.frames}", *command[1:]], {}, None

    def output_directory(self, scratch):
        return None


class Memray(Tool):
    rounds = 3
    python_only = True

    def __init__(self, build, objects=False):
        super().__init__("memray-objects" if objects else "memray",
                         "the same with --trace-python-allocators: small objects, too" if objects else
                         "python -m memray run -q -o FILE (Python workloads): what malloc sees")
        self.options = ["--trace-python-allocators"] if objects else []
        self.rounds = 1 if objects else 3
        self.venv = os.path.join(build, "venv")
        self.python = os.path.join(self.venv, "bin", "python")

    def absent(self):
        """Makes the virtual environment the first time."""
        if self.works():
            return None
        print("bench: installing memray into a private environment ...", file=sys.stderr)
        log = self.venv + ".log"
        with open(log, "w", encoding="utf-8") as out:
            for step in ([sys.executable, "-m", "venv", "--clear", self.venv],
                         [self.python, "-m", "pip", "install", "--quiet", "memray"]):
                try:
                    done = subprocess.run(step, stdout=out, stderr=out, timeout=300, check=False)
                except (OSError, subprocess.TimeoutExpired) as error:
                    return f"memray cannot be installed: {error}"
                if done.returncode != 0:
                    return f"memray cannot be installed (see {log})"
        return None if self.works() else f"memray does not start (see {log})"

    def works(self):
        try:
            return subprocess.run([self.python, "-m", "memray", "--version"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False).returncode == 0
        except OSError:
            return False

    def wrap(self, command, scratch):
        directory = self.output_directory(scratch)
        os.mkdir(directory)
        return [self.python, "-m", "memray", "run", "-q", *self.options, "-o", f"{directory}/profile.bin", *command[1:]], {}, None


def all_tools(root, build):
    """Every tool, bare first."""
    return [
        Bare("bare"),
        Memtrack(os.path.join(root, "build/lib/memtrack/libmemtrack_preload.so")),
        MemtrackLauncher(os.path.join(root, "build/bin/memtrack-preload")),
        Heaptrack(), HeaptrackRaw(),
        Jemalloc(False), Jemalloc(True), Tcmalloc(False), Tcmalloc(True),
        Memray(build), Massif(),
        Memtrack(os.path.join(root, "build/lib/memtrack/libmemtrack_preload.so"), objects=True),
        MemtrackLauncher(os.path.join(root, "build/bin/memtrack-preload"), objects=True),
        Memray(build, objects=True), Tracemalloc(1), Tracemalloc(25),
    ]


# What --python compares: with types and Python stacks.
PYTHON = ("bare", "memtrack", "memtrack-o", "memtrack-launcher-o", "memray", "memray-objects", "tracemalloc",
          "tracemalloc-25")
# Left out unless asked for by --all or --tools.
EXTRA = ("massif", "jemalloc", "tcmalloc", "memtrack-o", "memtrack-launcher-o", "memray-objects",
         "tracemalloc", "tracemalloc-25")
