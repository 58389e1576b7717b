"""Results of a real suite, with its real cells and cards, and made-up figures of a realistic size.

    python -m tests.reports.synthetic_suite FOLDER [SUITE] [SHIFT]

`SUITE` is a built-in suite, a YAML file, or `families`: every native method on one task with three seeds.
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import yaml

sys.path.insert(0, str(Path(__file__).parent))

import synthetic_results as synthetic

from bench.suite import BUILT_IN, Suite
from records.cards import MethodCard
from records.cell import Cell
from records.record import Manifest, Record
from records.store import RecordStore

# Scores by family on a hard and an easy task, and adapter parameters, where synthetic_results knows no better.
USUAL = {
    "baseline": (0.780, 0.930, 7_000_000),
    "sparse": (0.788, 0.948, 73_728),
    "low-rank": (0.797, 0.955, 73_728),
    "adapter": (0.792, 0.956, 297_600),
    "soft-prompt": (0.741, 0.941, 30_720),
    "hypernetwork": (0.778, 0.943, 801_920),
}


def families() -> dict:
    """Every native method at its defaults on one task: those whose learning rates a built-in suite searches."""
    searched = yaml.safe_load((BUILT_IN / "families-tuned.yaml").read_text())["methods"]
    methods = {name: {"lr": 1e-3} for name in searched}
    return {
        "backbones": ["embedded:minilm-l6"], "tasks": {"rotten_tomatoes": {"train_examples": 2000, "max_length": 64}},
        "methods": methods, "seeds": [0, 1, 2], "notes": "Learning rates come from the suite families-tuned.",
    }  # fmt: skip


def load(suite: str) -> Suite:
    if suite != "families":
        return Suite.load(suite)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "families.yaml"
        path.write_text(yaml.safe_dump(families(), sort_keys=False))
        return Suite.load(str(path))


def write_suite(root: Path, name: str = "embedded", shift: float = 0.0) -> Path:
    """Every cell scored and profiled. `shift` is added to each score: another run of the same suite."""
    suite = load(name)
    store = RecordStore(root)
    store.write_manifest(
        Manifest(suite=suite.resolved(), cells=suite.cells, cards=suite.cards(), environment={},
                 created="2026-01-10T09:59:00+00:00")
    )  # fmt: skip
    cards = suite.cards().methods
    for cell in suite.cells.values():
        store.write(_record(cell, cards[cell.method], shift))
    return root


def _record(cell: Cell, card: MethodCard, shift: float) -> Record:
    """A record by synthetic_results, with figures for methods that it does not know, and real metric names."""
    family, composition = card.family, card.composition
    hard, easy, parameters = USUAL.get(family, USUAL["sparse"])
    rng = random.Random(cell.method)
    parameters = max(1, int(parameters * math.exp(rng.uniform(-1.2, 1.2))))
    offset = rng.gauss(0, 0.012)
    merges = composition == "parameter" and family != "baseline"
    unknown = {
        cell.method: (
            family, composition, card.title, card.formula, parameters, 1e-3, hard + offset, easy + offset / 2,
            merges,
        )
    }  # fmt: skip
    # For this record only: other tests make results of all methods in that table.
    with patch.dict(synthetic.METHODS, {} if cell.method in synthetic.METHODS else unknown):
        made = synthetic.record(cell)
    noise = random.Random(f"{cell.method} {cell.task} {cell.seed} {shift}").gauss(0, 0.004) if shift else 0.0

    def metrics(values: dict[str, float], by: float) -> dict[str, float]:
        return {"accuracy": values["accuracy"] + by, "f1_macro": values["macro_f1"] + by}

    history = [line.model_copy(update={"validation": metrics(line.validation, shift)}) for line in made.history]
    changed = {"test": metrics(made.test, shift + noise), "validation": metrics(made.validation, shift)}
    return made.model_copy(update=changed | {"history": history})


if __name__ == "__main__":
    write_suite(Path(sys.argv[1]), *(sys.argv[2:3] or ["embedded"]), *map(float, sys.argv[3:4]))
