"""Measures how long things take, and writes docs/performance.md: python -m tests.performance.

Nothing here passes or fails: machines differ, and are busy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bench import environment
from tests.performance import scale
from tests.performance.figures import Figure

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
HEAD = """# How long things take

`make performance` writes this page. Figures are of one machine at one time; a target is what they are held against by
whoever looks, since no test fails for being slow.

{where}
"""


def parts() -> Iterator[tuple[str, Callable[[], Iterator[Figure]]]]:
    """Each with its title; that in a browser only where there is one to drive."""
    yield f"{scale.CELLS:,} cells", scale.measure
    if find_spec("playwright"):
        from tests.performance import page_load

        yield "The page, in a browser", page_load.measure
    else:
        print("There is no Playwright here: the page is left out.", file=sys.stderr)


def main() -> None:
    """Prints each figure when it is there."""
    text = HEAD.format(where=_where())
    for title, measure in parts():
        text += f"\n## {title}\n\n| what | figure | each | target |\n| --- | --- | --- | --- |\n"
        for figure in measure():
            print(" · ".join(filter(None, figure)), flush=True)
            text += f"| {' | '.join(figure)} |\n"
    PAGE.write_text(text, encoding="utf-8")


def _where() -> str:
    found = environment.describe()
    versions = ", ".join(
        f"{name} {found['versions'][name]}" for name in ("adaptbench", "torch") if name in found["versions"]
    )
    memory = f", {found['memory_bytes'] / 2**30:.0f} GiB" if found["memory_bytes"] else ""
    cores = f"{found['cores']} cores of {found['processor']}{memory}"
    return f"{datetime.now(UTC):%Y-%m-%d}: {cores}; Python {found['python']}, {versions}."


if __name__ == "__main__":
    main()
