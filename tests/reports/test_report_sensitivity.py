"""What a poor learning rate costs, on validation scores written down here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from records.cell import Cell
from records.record import Record
from reports.analysis.analysis import analyse
from reports.analysis.sensitivity import sensitivity
from reports.model.document import Number
from reports.model.prose import OURS, join, plain
from reports.results import Results, read
from reports.sections import sweeps
from tests.reports import synthetic_results as synthetic

# By learning rate, of two seeds; the best is 1e-3 (a mean of 0.85), beside it lie 0.71 and 0.83, the worst is 0.5.
SCORES = {1e-4: (0.70, 0.72), 1e-3: (0.80, 0.90), 1e-2: (0.83, 0.83), 1e-1: (0.50, 0.50)}


def searched(rate: float, seed: int, validation: float, rank: int = 8) -> Record:
    plain = synthetic.cell("lora", "bbc_news", seed, label=f"lora@{rate}-{rank}")
    made = synthetic.record(
        Cell(**{**dict(plain), "hyperparameters": plain.hyperparameters | {"lr": rate, "rank": rank}})
    )
    return made.model_copy(update={"validation": {"accuracy": validation, "macro_f1": 0.0}})


def written(root: Path, *ranks: int) -> Results:
    """A search at each rank."""
    records = [
        searched(rate, seed, value, rank)
        for rank in ranks
        for rate, pair in SCORES.items()
        for seed, value in enumerate(pair)
    ]
    return read(synthetic.write(root, [record.cell for record in records], records))


def test_sensitivity_to_the_learning_rate_and_the_seed(tmp_path: Path):
    results = written(tmp_path / "r", 8)
    [found] = sensitivity(results)
    assert (found.method, found.label, found.best, found.seeds) == ("lora", "lora@0.001-8", 1e-3, 2)
    assert found.rates == tuple(SCORES)
    assert found.lr_drop == pytest.approx(0.35)
    assert found.neighbour_drop == pytest.approx(0.14)
    assert found.seed_sd == pytest.approx(np.sqrt(np.mean([np.var(pair, ddof=1) for pair in SCORES.values()])))
    assert set(found.cells) == set(results.records)


def test_one_rate_tells_nothing(tmp_path: Path):
    records = [searched(1e-3, seed, 0.8) for seed in range(3)]
    results = read(synthetic.write(tmp_path / "r", [record.cell for record in records], records))
    assert sensitivity(results) == []
    assert sweeps.part(analyse(results), OURS).section is None


def test_the_table_holds_the_best_rate_and_what_others_cost(tmp_path: Path):
    analysis = analyse(written(tmp_path / "r", 8))
    [table] = sweeps.tables(analysis)
    [row] = table.rows
    shown = [cell.text if isinstance(cell, Number) else cell for cell in row.cells]
    assert shown == ["lora", "bbc_news", "4", "1e-3", "14.0", "35.0", "3.6", "2"]
    assert table.data["lr_drop"].tolist() == pytest.approx([0.35])
    # 14 points are more than the 3.6 that seeds differ by.
    assert "less than that in none" in plain(join(sweeps.sentences(analysis)))


def test_two_searches_of_one_method_are_told_apart(tmp_path: Path):
    [table] = sweeps.tables(analyse(written(tmp_path / "r", 8, 16)))
    assert [row.cells[0] for row in table.rows] == ["lora@0.001-8", "lora@0.001-16"]
