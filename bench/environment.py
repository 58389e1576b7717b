"""Where a result was made: what another machine must match to repeat it. Imports no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import __version__

# Training one cell per core gets 1.25 to 1.4 times as much done as one cell on two cores, as far as the memory
# reaches: a cell of a small backbone takes 1 to 2 GiB.
MEMORY_PER_SLOT = 4 * 2**30
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "tokenizers", "numpy", "scikit-learn")


def describe() -> dict[str, Any]:
    """Machine, Python, versions and commit, as plain data. The commit is that of the checkout this code is
    run from, None where it is installed without one; `dirty` says that files differ from it."""
    commit, dirty = _commit()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        # Ours as the clone has it: what is installed of it may be older.
        "versions": {"adaptbench": __version__} | {name: version for name in PACKAGES if (version := _version(name))},
        "commit": commit,
        "dirty": dirty,
    }


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Main memory of this machine, None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def side_by_side() -> int:
    """How many cells train at a time where there is no GPU."""
    memory = memory_bytes()
    return max(1, min(cores(), memory // MEMORY_PER_SLOT)) if memory else 1


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The name of this machine's."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> tuple[str | None, bool | None]:
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None, None
    try:

        def git(*arguments: str) -> str:
            return subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()

        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
