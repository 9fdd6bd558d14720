# SPDX-License-Identifier: Apache-2.0
"""Instructions for a malloc+free pair, counted by callgrind: the figure that does not depend on who else uses the
machine. Two runs with different iteration counts; their difference, divided by the iterations between them, has
neither start-up nor the first, slow, call in it."""
import os
import re
import subprocess

from measure import RunFailed, Scratch, clean_environment

DEPTHS = (1, 20, 40)
FEW, MANY = 20_000, 120_000


def count(program, iterations, depth, settings):
    """All instructions of one run of `pair`."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(iterations), str(depth)],
        env={**clean_environment(), **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        errors="replace", timeout=300, check=False)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise RunFailed(f"callgrind: {ascii(done.stderr.strip()[-300:])}")
    return int(found.group(1))


def per_pair(program, depth, settings):
    return (count(program, MANY, depth, settings) - count(program, FEW, depth, settings)) / (MANY - FEW)


def measure_all(program, library, scratch_base):
    """{depth as text: {"bare", "preloaded", "added"}}: instructions for a pair."""
    figures = {}
    for depth in DEPTHS:
        bare = per_pair(program, depth, {})
        scratch = Scratch(scratch_base)
        try:
            preloaded = per_pair(program, depth, {"LD_PRELOAD": library, "MEMTRACK_SESSION": scratch.memory})
        finally:
            scratch.remove()
        if preloaded <= bare:
            raise RunFailed(f"depth {depth}: {preloaded:.1f} instructions with the library, {bare:.1f} without: "
                            f"it counts nothing ({os.path.basename(library)} not loaded?)")
        figures[str(depth)] = {"bare": round(bare, 1), "preloaded": round(preloaded, 1),
                               "added": round(preloaded - bare, 1)}
    return figures
