"""The machine: processor, memory, disks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import environment
from bench.caches import CacheError, cache_folder
from bench.doctor.base import Line
from bench.folders import RESULTS

CGROUP = Path("/sys/fs/cgroup")
# Of the weights and tokens that the default suite keeps, and of a small results folder, with room to spare.
NEEDED_BYTES = 2 * 10**9
# A cell of a small backbone takes about so much.
LEAST_MEMORY = 2 * 2**30
BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


def system() -> Iterator[Line]:
    """Python and the operating system."""
    yield Line("system", f"Python {platform.python_version()} on {platform.platform()}")


def processor() -> Iterator[Line]:
    """Its name, its cores, and how many of them may be used here."""
    usable, whole = environment.cores(), os.cpu_count() or 1
    limit = _cpu_limit()
    said = f"{environment.processor()}, {usable} core{'s' if usable != 1 else ''}"
    said += f" of {whole} may be used" if usable != whole else ""
    if limit is not None and limit < usable:
        yield Line("processor", f"{said}; this container is limited to the time of {limit:g}", "note")
    else:
        yield Line("processor", said)
    if (flags := _flags()) is not None:
        found = ", ".join(sorted(BF16 & flags))
        yield Line("bf16", f"in hardware ({found})" if found else "not in this processor's hardware")


def memory() -> Iterator[Line]:
    """Of the machine, or of the container; and how many cells train side by side in it."""
    whole, limit = environment.memory_bytes(), _memory_limit()
    if whole is None:
        yield Line("memory", "the system does not tell", "note")
        return
    usable = min(whole, limit or whole)
    said = f"{whole / 2**30:.1f} GiB"
    said += f", of which this container may use {limit / 2**30:.1f}" if limit and limit < whole else ""
    if usable < LEAST_MEMORY:
        yield Line("memory", f"{said}: a cell of a small backbone takes 1 to 2 GiB", "note")
    else:
        yield Line("memory", said)


def disks() -> Iterator[Line]:
    """Where results and the cache are kept, whether they may be written, and how much room there is."""
    yield _disk("results", RESULTS.absolute(), "run in a folder that may be written to, or with --results FOLDER")
    try:
        yield _disk("cache", cache_folder(), "export BENCH_CACHE=FOLDER")
    except CacheError as error:
        yield Line("cache", str(error), "missing", "export BENCH_CACHE=FOLDER", needed=True)


def _disk(subject: str, folder: Path, mend: str) -> Line:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Line(subject, f"{folder}: {there} may not be written to", "missing", mend, needed=True)
    free = shutil.disk_usage(there).free
    said = f"{folder}: {free / 1e9:,.1f} GB free"
    return Line(subject, said) if free >= NEEDED_BYTES else Line(subject, f"{said}, which is little", "note")


def _cpu_limit() -> float | None:
    """Cores' worth of time that a control group allows, None where it sets no limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        old = CGROUP / "cpu"  # of the first version of control groups
        limit, of = (int((old / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return limit / of if limit > 0 else None
    except (OSError, ValueError):
        return None


def _memory_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((CGROUP / name).read_text())
        except (OSError, ValueError):
            continue
    return None


def _flags() -> set[str] | None:
    """What the processor can do, as Linux names it; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    found = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(found, "").split())
