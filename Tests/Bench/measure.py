# SPDX-License-Identifier: Apache-2.0
"""One measured run: start a program under a tool, wait for its whole process tree, collect what it cost."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

# Only these reach the measured program: nobody's MALLOC_CONF, LD_PRELOAD or DEBUGINFOD_URLS takes part.
KEPT_ENVIRONMENT = ("PATH", "HOME", "USER", "TMPDIR")


class RunFailed(Exception):
    """A run that gives no figures; the text says why."""


def clean_environment():
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    kept["LC_ALL"] = "C"
    return kept


def bytes_below(directory):
    """Bytes allocated on disk (not apparent size: region files are sparse) by the files below `directory`."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                pass
    return total


class Scratch:
    """Directories of one run: `disk` for what tools write, `memory` for sessions. Removed afterwards."""

    def __init__(self, base):
        self.disk = tempfile.mkdtemp(prefix="run-", dir=base)
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else base
        self.memory = tempfile.mkdtemp(prefix="memtrack-bench-", dir=shared)

    def remove(self):
        for directory in (self.disk, self.memory):
            shutil.rmtree(directory, ignore_errors=True)


def start_group(command, environment, **options):
    """A process in a session of its own, so that it can be ended with all its descendants, and so that Ctrl+C
    reaches the driver alone."""
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


def end_group(process):
    """Ends everything in the session of `process`, the polite way first."""
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if process.poll() is not None and not group_lives(process.pid):
                return
            time.sleep(0.02)


def group_lives(group):
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False
    except PermissionError:
        return True


def run_once(meter, workload, tool, scale, base, timeout):
    """Runs `workload` at `scale` under `tool` and returns its figures as a dictionary.

    `meter` is the path of the measure program. Seconds, KiB and bytes; `loop_pairs` and `loop_ns` only where the
    workload times itself. Raises RunFailed.
    """
    scratch = Scratch(base)
    drain = process = None
    try:
        command, extra = workload.command(scale, scratch.disk)
        wrapped, settings, fifo = tool.wrap(command, scratch)
        extra = {**extra, **settings, "BENCH_TIMING": os.path.join(scratch.disk, "timing")}
        paths = {name: os.path.join(scratch.disk, name) for name in ("result", "stdout", "stderr", "drained")}
        if fifo:
            os.mkfifo(fifo)
            drain = start_group([meter, "--drain", fifo, paths["drained"]], clean_environment())
        pairs = [part for name, value in extra.items() for part in ("-e", f"{name}={value}")]
        process = start_group(
            [meter, *pairs, paths["result"], paths["stdout"], paths["stderr"], *wrapped],
            clean_environment(), cwd=scratch.disk)
        driven = workload.drive(scale, timeout) if workload.drive else None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"not done after {timeout:.0f} s") from None
        if code != 0:
            raise RunFailed(f"could not be started: {tail(paths['stderr'])}")
        with open(paths["result"], encoding="ascii") as file:
            status, wall, user, system, peak, orphans = file.read().split()
        run = {
            "status": int(status), "wall": float(wall), "cpu": float(user) + float(system),
            "user": float(user), "system": float(system), "peak_kib": int(peak), "orphans": int(orphans),
        }
        if run["status"] != 0:
            raise RunFailed(f"exit status {status}: {tail(paths['stderr'])}")
        with open(paths["stdout"], "rb") as file:
            run["stdout"] = file.read()
        run["answer"] = workload.answer(run["stdout"], scratch.disk, driven)
        if driven:
            run["wall"] = driven["wall"]
        run["written"] = written_bytes(tool, scratch, drain, paths["drained"])
        run["found"] = tool.collect(scratch)
        read_loop_timing(run, os.path.join(scratch.disk, "timing"))
        return run
    except OSError as error:
        raise RunFailed(str(error)) from error
    finally:
        for started in (process, drain):
            if started and (started.poll() is None or group_lives(started.pid)):
                end_group(started)
        scratch.remove()


def written_bytes(tool, scratch, drain, drained):
    if drain:
        try:
            drain.wait(20)
        except subprocess.TimeoutExpired:
            raise RunFailed("the tool wrote no events") from None
        with open(drained, encoding="ascii") as file:
            return int(file.read())
    directory = tool.output_directory(scratch)
    return bytes_below(directory) if directory else None


def read_loop_timing(run, path):
    try:
        with open(path, encoding="ascii") as file:
            pairs, nanoseconds = file.read().split()
    except FileNotFoundError:
        return
    run["loop_pairs"] = int(pairs)
    run["loop_ns"] = int(nanoseconds)


def tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        return ""
    return ascii(lines[-1][:200]) if lines else "(no message)"
