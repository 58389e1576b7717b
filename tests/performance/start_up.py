"""From a job's acceptance, when the scheduler hands it to the launcher, to its first optimiser step: what each cell
costs before it trains. MiniLM, tokenised data in the cache, one cell at a time; the first cell, which waits for the
server of workers, is left out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.performance import stamped
from tests.performance.figures import Table
from tests.performance.stamped import Stamp

TARGET = 0.7
CELLS = 8
BUDGET = {
    "train_examples": 1000,
    "validation_examples": 128,
    "test_examples": 32,
    "epochs": 1,
    "batch_size": 32,
    "max_length": 64,
}
# A stamp, and what is over when it is set.
STAGES = {
    "forked": "the worker is forked, and at work",
    "backbone": "task, tokenizer and backbone are loaded",
    "adapted": "the backbone is adapted",
    "data": "the data are read and drawn",
    "optimiser": "what the head does not read is found, loaders and optimiser are made",
    "first step": "the first step is done",
}


def suite(cells: int) -> dict[str, Any]:
    """So many cells, and one before them."""
    return {
        "backbones": ["embedded:minilm-l6"],
        "tasks": ["rotten_tomatoes"],
        "methods": ["lora"],
        "seeds": list(range(cells + 1)),
        "budget": BUDGET,
        "precision": "no",
        "profile": False,
    }


def stages(cells: Sequence[Mapping[str, Stamp]]) -> list[tuple[str, list[float], list[float]]]:
    """Of every stage and every cell the seconds, and those of the processor in the worker, where it is at work."""
    before = ["accepted", *STAGES]
    found = []
    for last, what in zip(before, STAGES, strict=False):
        seconds = [each[what].time - each[last].time for each in cells]
        found.append(
            (what, seconds, [each[what].cpu - (each[last].cpu if last != "accepted" else 0) for each in cells])
        )
    return found


def measure(brief: bool = False) -> list[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stamped.run_suite(folder / "first", suite(0), folder / "cache", slots=1)
        seen = stamped.run_suite(folder / "then", suite(1 if brief else CELLS), folder / "cache", slots=1)
    first, *cells = sorted(seen, key=lambda each: each["accepted"].time)
    table = Table("", ("until", "seconds", "of the processor", "target"))
    for what, seconds, cpu in stages(cells):
        table.add(STAGES[what], f"{median(seconds):.3f}", f"{median(cpu):.3f}", "")
    whole = [each["first step"].time - each["accepted"].time for each in cells]
    low, _, high = quantiles(whole, n=4, method="inclusive") if len(whole) > 1 else whole * 3
    worked = median(each["first step"].cpu for each in cells)
    table.add("in all", f"{median(whole):.2f} ({low:.2f}–{high:.2f})", f"{worked:.2f}", f"at most {TARGET} s")
    table.note(
        f"Medians of {len(cells)} cells. The first cell took"
        f" {first['first step'].time - first['accepted'].time:.1f} s, with what was left of the server's start."
    )
    return [table]
