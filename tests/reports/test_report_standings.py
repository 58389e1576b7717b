"""Configurations over several tasks, against autorank and scipy, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.analysis.analysis import Analysis, analyse
from reports.drawing import standings as drawing
from reports.drawing.theme import PAPER
from reports.model.document import Number
from reports.model.prose import OURS, join, plain
from reports.results import read
from reports.sections import report, standings
from tests.reports import synthetic_results as synthetic

METHODS = ("full", "bitfit", "lora", "houlsby")


def suite(root: Path, tasks: int, seeds: int, lost: tuple[str, str] | None = None, gap: float = 0.02) -> Analysis:
    """Each method lies `gap` above the one before it, give or take a noise of one point; `lost` (method, task) has no
    record."""
    rng = np.random.default_rng(3)
    names = [f"task{i}" for i in range(tasks)]
    card = synthetic.TASKS["bbc_news"]
    cells = [cell for cell in synthetic.grid(METHODS, names, seeds) if (cell.method, cell.task) != lost]
    missing = [cell for cell in synthetic.grid(METHODS, names, seeds) if (cell.method, cell.task) == lost]
    records = [
        synthetic.record(
            cell, score=0.6 + 0.05 * names.index(cell.task) + gap * METHODS.index(cell.method) + rng.normal(0, 0.01)
        )
        for cell in cells
    ]
    cards = {
        "methods": synthetic.method_cards(),
        "tasks": {name: card | {"name": name, "title": name} for name in names},
        "backbones": synthetic.BACKBONES,
    }
    return analyse(read(synthetic.write(root, [*cells, *missing], records, cards=cards)))


def by_method(analysis: Analysis) -> pd.DataFrame:
    """Mean scores, a row per task and a column per method, from the records alone."""
    scores = [(r.cell.task, r.cell.method, r.test["accuracy"]) for r in analysis.results.records.values()]
    frame = pd.DataFrame(scores, columns=["task", "method", "score"])
    return frame.pivot_table("score", "task", "method")


def test_the_table_has_scipys_trimmed_means_and_autoranks_ranks(tmp_path: Path):
    autorank = pytest.importorskip("autorank")
    analysis = suite(tmp_path / "r", tasks=6, seeds=5)
    [table] = standings.tables(analysis)
    means = by_method(analysis)
    theirs = autorank.autorank(means, alpha=0.05, verbose=False, approach="frequentist", force_mode="nonparametric")
    data = table.data.set_index("label")
    assert set(data.index) == set(METHODS)
    for method in METHODS:
        scores = [r.test["accuracy"] for r in analysis.results.records.values() if r.cell.method == method]
        assert data.loc[method, "interquartile_mean"] == pytest.approx(stats.trim_mean(scores, 0.25))
        assert data.loc[method, "average_rank"] == pytest.approx(theirs.rankdf.loc[method, "meanrank"])
        assert data.loc[method, "low"] < data.loc[method, "interquartile_mean"] < data.loc[method, "high"]
        assert len(data.loc[method, "cells"].split()) == 30
    assert data["critical_difference"].iloc[0] == pytest.approx(theirs.cd, rel=1e-3)
    assert data["friedman_p"].iloc[0] == pytest.approx(theirs.pvalue)
    shown = {row.cells[0]: row.cells[1] for row in table.rows}
    assert isinstance(shown["lora"], Number)
    assert shown["lora"].text == f"{100 * data.loc['lora', 'interquartile_mean']:.1f}"


def test_the_diagram_has_every_configuration_and_joins_what_is_alike(tmp_path: Path):
    analysis = suite(tmp_path / "r", tasks=6, seeds=2)
    [figure] = drawing.figures(analysis)
    with PAPER.applied():
        [axes] = figure.draw(PAPER).axes
    [ranking] = [standing.ranking for standing in analysis.standings]
    said = [text.get_text().strip() for text in axes.texts]
    for label, rank in ranking.ranks.items():
        assert any(re.fullmatch(rf"{label}  {rank:.2f}|{rank:.2f}  {label}", text) for text in said)
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() > 2]
    assert len(bars) == len(ranking.groups) > 0
    for group, (left, right) in zip(ranking.groups, bars, strict=True):
        inside = [label for label, rank in ranking.ranks.items() if left <= rank <= right]
        assert inside == list(group)


def test_few_tasks_are_put_together_and_not_tested(tmp_path: Path):
    analysis = suite(tmp_path / "r", tasks=4, seeds=2)
    assert drawing.figures(analysis) == []
    [table] = standings.tables(analysis)
    assert [column.title for column in table.columns] == ["Method", "interquartile mean", "average rank"]
    assert "fewer than 5 seeds" in plain(table.caption)
    said = plain(join(standings.sentences(analysis, analysis.standings[0])))
    assert "needs 5 of them and three configurations at the least, so that none is made" in said
    assert "Friedman" not in said


def test_ranks_that_do_not_differ_are_not_said_to(tmp_path: Path):
    alike, apart = (suite(tmp_path / str(gap), tasks=6, seeds=2, gap=gap) for gap in (0.0, 0.02))
    said = [plain(join(standings.sentences(each, each.standings[0]))) for each in (alike, apart)]
    assert alike.standings[0].ranking.friedman_p > 0.05 > apart.standings[0].ranking.friedman_p
    assert "shows no difference between the ranks" in said[0]
    assert "says that the ranks differ" in said[1]


def test_a_configuration_without_all_tasks_takes_no_part(tmp_path: Path):
    analysis = suite(tmp_path / "r", tasks=5, seeds=2, lost=("bitfit", "task3"))
    [table] = standings.tables(analysis)
    assert "bitfit" not in {row.cells[0] for row in table.rows}
    assert "bitfit takes no part" in plain(join(standings.sentences(analysis, analysis.standings[0])))


def test_it_stands_in_the_document_with_its_sources(tmp_path: Path):
    made = report.compose(suite(tmp_path / "r", tasks=6, seeds=2), OURS)
    assert {"tab:standings", "fig:ranks"} <= {block.label for block in [*made.tables, *made.figures]}
    [section] = [one for part in made.sections for one in part.sections if one.key == "standings"]
    cited = [piece.keys for block in section.blocks for piece in getattr(block, "text", ()) if hasattr(piece, "keys")]
    assert {key for keys in cited for key in keys} == {"agarwal2021rliable", "demsar2006"}
