"""Simulates suites, and writes docs/statistics.md: python -m tests.simulation. Takes minutes.

Each module has one section of the page.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import ranks, verdicts

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
HEAD = """# What the statistics promise, and keep

This page is written by `make statistics`, which makes up results whose truth is known and asks of them what a report
asks. A rate of at most 5 % shows as at most 6.6 % in 1,000 simulated suites, but for one time in a hundred.
"""

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        sections = [pool.submit(module.section) for module in (verdicts, ranks)]
    PAGE.write_text("\n".join([HEAD, *(section.result() for section in sections)]))
