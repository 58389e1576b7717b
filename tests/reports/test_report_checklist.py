"""The answers to reviewers' checklists, held against the records that they are about."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results as synthetic

from reports.analysis.analysis import analyse
from reports.build import Report, build_report
from reports.model.document import Section
from reports.model.prose import OURS, plain
from reports.results import read
from reports.sections import checklist


def section(root: Path) -> Section:
    found = checklist.part(analyse(read(root)), OURS).section
    assert found is not None
    return found


def said(root: Path) -> dict[str, str]:
    """By heading."""
    blocks = section(root).blocks
    return {block.heading or "": plain(block.text) for block in blocks if hasattr(block, "heading")}


def records(root: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("cells/*/record.json"))]


def test_compute_is_summed_over_all_records_failed_ones_included(usual: Path):
    seconds = [record["wall_seconds"] for record in records(usual)]
    text = said(usual)["Parameters and compute (C1)."]
    assert f"of {len(seconds)} cells took {sum(seconds) / 60:.0f} minutes in all" in text
    assert f"the longest cell {max(seconds):.0f} seconds" in text
    assert "AMD EPYC 9B45, device cpu, arithmetic in bf16" in text and "22.7M parameters" in text


def test_splits_licences_versions_and_commits_are_those_of_the_records(usual: Path):
    text = said(usual)
    use = next(record["data"] for record in records(usual) if record["data"])
    sizes = f"{use['train']:,} / {use['validation']:,} / {use['test']:,}"
    assert f"rotten_tomatoes: {sizes}; bbc_news: {sizes}" in text["Data (B4–B6)."]
    assert "commit" not in text["Data (B4–B6)."]  # none of it is from the hub
    for title, licence in (("Rotten Tomatoes", "MIT (package)"), ("all-MiniLM-L6-v2", "Apache-2.0")):
        assert f"{title}: {licence}" in text["Artefacts and licences (B1–B3, B5)."]
    assert "torch 2.13.0, transformers 5.23.0" in text["Software (C4)."]
    assert "Code: commit 566e2b7c0ffe." in text["Software (C4)."]


def test_runs_and_what_is_missing_are_counted(usual: Path):
    text = said(usual)["Runs and statistics (C3)."]
    assert "Three seeds (0, 1 and 2)" in text
    assert "49 of 54 cells have a score (3 n/a, 1 failed and 1 not run)." in text
    assert "Predictions were not kept" in text


def test_validation_stands_beside_test_for_every_configuration(usual: Path, report: Report):
    table = pd.read_csv(report.folder / "tables" / "runs.csv")
    for (label, task, measure), rows in table.groupby(["label", "task", "measure"]):
        split = {"validation_score": "validation", "score": "test"}.get(measure)
        if split is None:
            continue
        of = [r for r in records(usual) if (r["cell"]["label"], r["cell"]["task"]) == (label, task) and r["test"]]
        values = [record[split]["accuracy"] for record in of]
        assert rows["mean"].item() == pytest.approx(statistics.mean(values))
        assert rows["n"].item() == len(values)
        assert set(rows["cells"].item().split()) == {record["id"] for record in of}
    assert set(table["measure"]) == {"score", "validation_score", "wall_seconds", "total_parameters"}


def test_it_stands_alone_and_every_table_says_what_writes_it_anew(report: Report):
    alone = (report.folder / "checklist.tex").read_text()
    assert alone.startswith("% Written by `bench report RESULTS --topic all`.")
    assert "\\section{Checklists}" in alone and "\\input{tables/runs}" in alone
    # What it refers to is in it: nothing is left undefined where it is put into another document.
    assert "\\ref{tab:runs}" in alone and alone.count("\\ref{") == 1 and "\\cite" not in alone
    assert alone.partition("\n")[2] in (report.folder / "report.tex").read_text()
    for path in (report.folder / "tables").glob("*.tex"):
        first = path.read_text().partition("\n")[0]
        assert first == f"% Written by `bench report RESULTS --topic all`; in full precision: tables/{path.stem}.csv."


def test_what_records_cannot_answer_is_said(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["rotten_tomatoes"], seeds=1)
    nothing = {"environment": {}, "data": None, "validation": {}, "best_step": None}
    bare = [synthetic.record(cell).model_copy(update=nothing) for cell in cells]
    cards = {"tasks": {"rotten_tomatoes": synthetic.TASKS["rotten_tomatoes"] | {"licence": ""}}}
    suite = synthetic.suite(cells) | {"notes": ""}
    text = said(synthetic.write(tmp_path, cells, bare, cards=cards, suite=suite))
    assert "The cards name no licence of Rotten Tomatoes and" in text["Artefacts and licences (B1–B3, B5)."]
    assert "rotten_tomatoes: unknown / unknown / unknown" in text["Data (B4–B6)."]
    assert "Infrastructure: not known." in text["Parameters and compute (C1)."]
    assert "No record names the code's commit." in text["Software (C4)."]
    assert "The suite says nothing of a search." in text["Search and hyperparameters (C2)."]
    assert "do not say how a checkpoint was chosen" in text["Selection, and scores on validation data (C2)."]
    assert "Not every scored cell has validation scores." in text["Selection, and scores on validation data (C2)."]


def test_a_suite_without_results_has_a_checklist_all_the_same(tmp_path: Path, blank_figures: None):
    root = synthetic.write(tmp_path / "results", synthetic.grid(["lora"], ["bbc_news"], 1), [])
    text = said(root)
    assert "0 of 1 cells have a score (1 not run)." in text["Runs and statistics (C3)."]
    assert "Training and evaluation of no cells took 0 seconds" in text["Parameters and compute (C1)."]
    assert (build_report(root).folder / "checklist.tex").is_file()
