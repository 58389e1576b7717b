"""Measures how long things take, and writes docs/performance.md: python -m tests.performance [--brief] [PART ...].

Nothing here passes or fails: machines differ, and are busy.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.util import find_spec

from tests.performance import page

# In the page's order: the module that measures it, and the title of its section.
PARTS = {
    "steps": "A training step",
    "grid": "A grid, against one script for each cell",
    "start_up": "Starting a cell",
    "memory": "Memory in training",
    "scale": "10,000 cells",
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
    for part in arguments.parts or PARTS:
        if part == "page_load" and not find_spec("playwright"):
            print("There is no Playwright here: the page is left out.", file=sys.stderr)
            continue
        print(f"== {PARTS[part]}", flush=True)
        tables = importlib.import_module(f"tests.performance.{part}").measure(arguments.brief)
        if not arguments.brief:
            page.keep(part, PARTS[part], page.where(), tables)
            page.write(list(PARTS))


if __name__ == "__main__":
    main()
