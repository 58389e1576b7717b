"""How soon a configuration comes near full fine-tuning, from histories whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Evaluation
from reports.analysis.analysis import analyse
from reports.model.prose import OURS
from reports.results import read
from reports.sections import targets

# Validation accuracy after each of four evaluations, ten steps apart.
CURVES = {
    "full": [[0.50, 0.76, 0.80, 0.79], [0.50, 0.60, 0.76, 0.80]],
    # 95 % of 0.8 is 0.76, and 99 % is 0.792.
    "lora": [[0.76, 0.79, 0.80, 0.80], [0.70, 0.76, 0.792, 0.81]],
    "bitfit": [[0.50, 0.60, 0.70, 0.77], [0.50, 0.60, 0.70, 0.75]],
}


def results(root: Path):
    cells = synthetic.grid(list(CURVES), ["bbc_news"], seeds=2)
    records = []
    for cell in cells:
        history = [
            Evaluation(
                step=10 * (number + 1), epoch=number + 1, phase="train", train_loss=1.0, validation_loss=1.0,
                validation={"accuracy": value},
            )
            for number, value in enumerate(CURVES[cell.label][cell.seed])
        ]  # fmt: skip
        records.append(synthetic.record(cell).model_copy(update={"history": history}))
    return read(synthetic.write(root, cells, records)), {record.id: record for record in records}


def test_examples_and_seconds_are_those_up_to_the_first_evaluation_that_is_there(tmp_path: Path):
    found, records = results(tmp_path / "r")
    known = {(each.label, each.share): each for each in analyse(found).targets}
    # Of two epochs or more every example was seen as often.
    first = next(iter(records.values()))
    batch = first.data.train / math.ceil(first.data.train / first.cell.budget.batch_size)
    expected = {
        ("full", 0.95): [20, 30], ("full", 0.99): [30, 40], ("lora", 0.95): [10, 20], ("lora", 0.99): [30, 30],
        ("bitfit", 0.95): [40], ("bitfit", 0.99): [],
    }  # fmt: skip
    assert set(known) == set(expected)
    for key, steps in expected.items():
        each = known[key]
        assert (each.seeds, each.reached) == (2, len(steps))
        if steps:
            assert each.examples.mean == pytest.approx(batch * sum(steps) / len(steps))
            step = [records[cell].cost.step_seconds for cell in each.cells]
            assert each.seconds.mean == pytest.approx(sum(step) / len(step) * sum(steps) / len(steps))

    [table] = targets.tables(analyse(found))
    rows = {row.cells[0]: row.cells for row in table.rows}
    assert [rows["bitfit"][at] for at in (2, 3)] == [None, None]  # one seed of two is no mean
    assert (rows["bitfit"][4].text, rows["lora"][4].text) == ("1/2", "2/2")
    assert "How Soon" in str(targets.part(analyse(found), OURS))


def test_without_full_fine_tuning_nothing_is_near_it(tmp_path: Path):
    cells = synthetic.grid(["lora"], ["bbc_news"], seeds=1)
    found = read(synthetic.write(tmp_path / "r", cells, [synthetic.record(cell) for cell in cells]))
    assert analyse(found).targets == [] and targets.tables(analyse(found)) == []
