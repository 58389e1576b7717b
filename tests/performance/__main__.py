"""Measures how long things take, and writes docs/performance.md: python -m tests.performance [--brief] [PART ...].

Nothing here passes or fails: machines differ, and are busy.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from importlib.util import find_spec

from tests.performance import page

# In the page's order: the module that measures it, and the title of its section.
PARTS = {
    "steps": "A training step",
    "grid": "A grid, against one script for each cell",
    "start_up": "Starting a cell",
    "memory": "Memory in training",
    "restless": "Ratios beside other work",
    "scale": "10,000 cells",
    "recording": "Records, and a report of them",
    "page_load": "The page, in a browser",
}


def main() -> None:
    """Measures the parts that are named, or all of them, and writes what came of each when it is there."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without a name")
    parser.add_argument("--brief", action="store_true", help="a look: as little as shows that it runs; writes nothing")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if len(parts := arguments.parts or list(PARTS)) == 1:
        return measure(parts[0], arguments.brief)
    # Each in a process of its own: what one holds in memory would count as the peak of those that another starts.
    for part in parts:
        command = [sys.executable, "-m", "tests.performance", part, *["--brief"] * arguments.brief]
        if subprocess.run(command).returncode:
            sys.exit(f"{part} failed; what was measured before it is written")


def measure(part: str, brief: bool) -> None:
    """Measures one, and writes the page."""
    if part == "page_load" and not find_spec("playwright"):
        print("There is no Playwright here: the page is left out.", file=sys.stderr)
        return
    print(f"== {PARTS[part]}", flush=True)
    module = importlib.import_module(f"tests.performance.{part}")
    tables = module.measure(brief)
    if not brief:
        page.keep(part, PARTS[part], page.where(), module.__doc__, tables)
        page.write(list(PARTS))


if __name__ == "__main__":
    main()
