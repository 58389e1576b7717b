"""Results that lack something still give a report, which says what is lacking."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results as synthetic

from reports.analysis.analysis import analyse
from reports.analysis.statistics import MIN_PAIRS
from reports.build import Report, build_report
from reports.model.prose import OURS
from reports.results import read
from reports.sections import budgets, costs, unfinished


def _build(root: Path, cells, records, **manifest) -> tuple[Report, str]:
    return _report(synthetic.write(root, cells, records, **manifest))


def _report(root: Path) -> tuple[Report, str]:
    report = build_report(root)
    if shutil.which("latexmk"):
        assert report.pdf is not None, report.lines
        log = (root / "report/build/report.log").read_text(errors="replace")
        assert "undefined" not in log.lower()
        assert not [p for p in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(p) > 5]
    return report, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", report.page.read_text()))


def test_one_seed_gives_no_spread_and_no_test(tmp_path: Path):
    cells = synthetic.grid(seeds=1)
    report, page = _build(tmp_path, cells, [synthetic.record(c) for c in cells])
    assert "±" not in (report.folder / "tables/scores.tex").read_text().split("\\midrule")[1]
    assert "nothing here tells a difference from noise" in page
    assert pd.read_csv(report.folder / "tables/scores.csv")["sd"].isna().all()
    assert pd.read_csv(report.folder / "tables/differences.csv")["p"].isna().all()


def test_enough_seeds_are_tested_and_corrected(tmp_path: Path):
    cells = synthetic.grid(["full", "lora", "head"], seeds=MIN_PAIRS)
    report, page = _build(tmp_path, cells, [synthetic.record(c) for c in cells])
    table = pd.read_csv(report.folder / "tables/differences.csv")
    # Holm by its definition: the k-th smallest of m times (m - k + 1), never falling.
    ranked = table.sort_values("p")
    expected = (ranked["p"] * range(len(ranked), 0, -1)).cummax().clip(upper=1)
    assert ranked["p_holm"].to_numpy() == pytest.approx(expected.to_numpy())
    assert "Of four differences to full" in page
    assert "too few" not in page


@pytest.mark.usefixtures("blank_figures")
def test_three_seeds_with_predictions_have_verdicts_that_fit_the_page(tmp_path: Path):
    report, page = _report(synthetic.keep_answers(synthetic.write_usual(tmp_path)))
    table = pd.read_csv(report.folder / "tables/differences.csv")
    assert set(table["verdict"]) <= {"better", "worse", "practically equal", "undecided"}
    assert "too few" not in page and "not tested" not in page
    assert page.count("worse†") == sum((table["verdict"] == "worse") & (table["population"] == "examples"))
    assert r"worse\dag{}" in (report.folder / "tables/differences.tex").read_text()
    assert (report.folder / "tables/undecided.csv").is_file()


def test_one_method_on_one_task(tmp_path: Path):
    (cell,) = synthetic.grid(["lora"], ["bbc_news"], seeds=1)
    report, page = _build(tmp_path, [cell], [synthetic.record(cell, score=0.9412)])
    assert "only lora has a score: 94.1 points" in page
    assert not (report.folder / "tables/differences.tex").exists()


def test_without_full_fine_tuning_nothing_is_compared_with_it(tmp_path: Path):
    cells = synthetic.grid(["lora", "head"])
    report, page = _build(tmp_path, cells, [synthetic.record(c) for c in cells])
    assert "The suite has no full fine-tuning" in page
    assert "tab:differences" not in (report.folder / "report.tex").read_text()


@pytest.mark.parametrize("status", ["failed", None])
def test_no_score_at_all_is_said(tmp_path: Path, status: str | None):
    cells = synthetic.grid(["full", "lora"])
    records = [synthetic.record(c, status, reason="loss became NaN at step 7") for c in cells] if status else []
    report, page = _build(tmp_path, cells, records)
    assert "No cell of this suite has a score yet" in page
    assert "0 of 12 cells have a score" in report.lines[0]
    assert ("loss became NaN at step 7" in page) == (status == "failed")


def test_scores_without_cost(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"])
    report, page = _build(tmp_path, cells, [synthetic.record(c, "trained") for c in cells])
    assert "No cell has a cost profile yet" in page
    assert not (report.folder / "tables/cost.tex").exists()
    assert pd.read_csv(report.folder / "tables/scores.csv")["n"].eq(3).all()


def test_bare_records_and_an_empty_suite_description(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"])
    bare = {"environment": {}, "history": [], "data": None, "parameters": None, "cost": None, "best_step": None}
    records = [synthetic.record(c).model_copy(update=bare) for c in cells]
    report, page = _build(tmp_path, cells, records, cards={}, suite={})
    assert len(pd.read_csv(report.folder / "tables/scores.csv")) == 4
    assert report.folder.parent.name in page  # the folder stands in for the suite's name


def test_records_of_an_earlier_suite_are_left_out(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["bbc_news"])
    left_over = synthetic.cell("lora", "bbc_news", 17)
    records = [synthetic.record(c, score=0.5) for c in cells] + [synthetic.record(left_over, score=0.99)]
    report, _ = _build(tmp_path, cells, records)
    assert pd.read_csv(report.folder / "tables/scores.csv")["mean"].tolist() == [0.5, 0.5]
    assert left_over.id not in report.page.read_text()


def test_two_protocols_are_never_averaged(tmp_path: Path):
    cells = [synthetic.cell("lora", task, seed, max_length=length)
             for task, length in (("rotten_tomatoes", 64), ("bbc_news", 256)) for seed in range(2)]  # fmt: skip
    report, _ = _build(tmp_path, cells, [synthetic.record(c) for c in cells])
    tables = [pd.read_csv(report.folder / f"tables/cost-{i}.csv") for i in (1, 2)]
    assert [set(table["task"]) for table in tables] == [{"rotten_tomatoes"}, {"bbc_news"}]
    assert all(table["n"].max() == 2 for table in tables)


def test_what_did_not_fit_into_memory_at_once_is_said_where_cells_are_missing(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["bbc_news"])
    records = [synthetic.record(each) for each in cells]
    assert unfinished.told(read(synthetic.write(tmp_path / "all", cells, records))) == []
    records[0].micro_batch = 4
    [said] = unfinished.told(read(synthetic.write(tmp_path / "parts", cells, records)))
    assert "Of one cell the batches did not fit into memory at once" in str(said) and "of 4 examples" in str(said)


def test_what_a_budget_asks_for_beside_the_usual_is_a_row_of_its_table(tmp_path: Path):
    cells = synthetic.grid(["full"], ["bbc_news"])
    asked = {"micro_batch": 4, "activation_checkpointing": True}
    in_parts = [c.model_copy(update={"budget": c.budget.model_copy(update=asked)}) for c in cells]
    for name, of, rows in (("usual", cells, []), ("parts", in_parts, ["4", "yes"])):
        results = read(synthetic.write(tmp_path / name, of, [synthetic.record(each) for each in of]))
        [table] = budgets.budgets(results)
        told = {str(row.cells[0]): row.cells[1] for row in table.rows}
        found = [
            told[title] for title in ("Examples per pass of the model", "Activations computed again") if title in told
        ]
        assert [str(getattr(each, "value", each)) for each in found] == rows


def test_two_backbones_keep_their_numbers_apart(tmp_path: Path):
    small = synthetic.grid(["full", "lora"], ["bbc_news"])
    large = [c.model_copy(update={"backbone": "hub:large"}) for c in small]
    records = [synthetic.record(c, score=0.6) for c in small] + [synthetic.record(c, score=0.9) for c in large]
    report, _ = _build(tmp_path, small + large, records)
    for key, mean in (("scores-1", 0.6), ("scores-2", 0.9)):
        assert pd.read_csv(report.folder / f"tables/{key}.csv")["mean"].tolist() == pytest.approx([mean, mean])


@pytest.mark.parametrize("profile", [True, False])
def test_what_a_suite_does_not_ask_for_is_not_missed(tmp_path, profile):
    cells = synthetic.grid(("full", "lora"), ("rotten_tomatoes",), 1)
    suite = synthetic.suite(cells) | {"profile": profile}
    records = [synthetic.record(each, "trained").model_copy(update={"cost": None}) for each in cells]
    results = read(synthetic.write(tmp_path / "r", cells, records, suite=suite))
    said = "".join(
        str(part)
        for block in (*costs.part(analyse(results), OURS).section.blocks, *unfinished.blocks(analyse(results)))
        for part in block.text
    )
    assert ("run the suite to its end" in said and "no cost profile yet" in said) == profile
    assert ("asks for no cost profiles" in said) != profile
