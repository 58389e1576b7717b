"""Injects faults into runs, and writes docs/faults.md: python -m tests.faults. Takes half an hour."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.faults import kinds, page, real
from tests.faults.campaign import Campaign, Outcome

# Injections that one process makes in a row, on one undisturbed run.
IN_A_ROW = 10


def main() -> None:
    """Exits with the number of injections that did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Injects faults into runs.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", type=int, default=100, help="how many injections at random points")
    parser.add_argument("--brief", action="store_true", help="these alone, and no page")
    parser.add_argument("--side-by-side", type=int, default=3, help="processes that inject at a time")
    asked = parser.parse_args()
    work: list[tuple[str, tuple[object, ...]]] = [] if asked.brief else [("real", (asked.seed,))]
    for begin in range(0, asked.random, IN_A_ROW):
        work.append(("random", (asked.seed, begin, min(begin + IN_A_ROW, asked.random))))
    work += [] if asked.brief else [("series", one) for one in kinds.SERIES]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in page.SECTIONS}
    with ProcessPoolExecutor(asked.side_by_side, multiprocessing.get_context("fork")) as pool:
        for (name, _), found in zip(work, pool.map(inject, *zip(*work, strict=True)), strict=True):
            outcomes[name] += found
            if not asked.brief:
                page.write(outcomes, asked.seed)
    bad = [each for found in outcomes.values() for each in found if each.wrong]
    for each in bad:
        print(f"\n{each.kind}: {each.wrong}\n{each.said}")
    print(f"{sum(map(len, outcomes.values()))} injections, {len(bad)} of which did not end well")
    sys.exit(min(len(bad), 100))


def inject(name: str, what: tuple[object, ...]) -> list[Outcome]:
    """A part of the campaign."""
    found = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for each in _part(Path(folder), name, what):
            print(f"{each.kind}: {each.became}{' !' if each.wrong else ''}", flush=True)
            found.append(each)
    return found


def _part(folder: Path, name: str, what: tuple[object, ...]) -> Iterator[Outcome]:
    match name, what:
        case "random", (int(seed), int(begin), int(end)):
            yield from kinds.at_random(Campaign.begin(folder), seed, range(begin, end))
        case "series", (str(role), str(call), str(said)):
            yield from kinds.one_after_another(Campaign.begin(folder), role, call, said)  # type: ignore[arg-type]
        case "real", (int(seed),):
            yield from real.outcomes(folder, seed)


if __name__ == "__main__":
    main()
