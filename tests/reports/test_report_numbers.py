"""Numbers read back from every output equal those computed from the JSON files by hand."""

from __future__ import annotations

import html
import json
import re
import statistics
from pathlib import Path

import pandas as pd
import pytest

from reports.build import Report

NOT_SCORED = {("prompt_tuning", "rotten_tomatoes"): 2, ("prefix_tuning", "bbc_news"): 0, ("hyperformer", "bbc_news"): 2}


@pytest.fixture(scope="module")
def scores(usual: Path) -> dict[tuple[str, str], list[float]]:
    """Test accuracies by (label, task), from the files alone."""
    found: dict[tuple[str, str], list[float]] = {}
    for path in sorted(usual.glob("cells/*/record.json")):
        record = json.loads(path.read_text())
        if record["test"]:
            key = (record["cell"]["label"], record["cell"]["task"])
            found.setdefault(key, []).append(record["test"]["accuracy"])
    return found


def _latex_rows(text: str) -> dict[str, list[str]]:
    """Cells of a tabular's body by its first column, LaTeX mark-up taken off."""
    body = text.split("\\midrule")[1].split("\\bottomrule")[0]
    rows = {}
    for line in body.split("\\\\\n"):
        line = re.sub(r"\\addlinespace", "", line)
        line = re.sub(r"\\multicolumn\{2\}\{c\}\{([^}]*)\}", r"\1 & ", line)
        line = re.sub(r"\\ensuremath\{-\}", "-", line).replace("\\,", " ").replace("$\\pm$", "±").replace("\\_", "_")
        cells = [cell.strip() for cell in line.split("&")]
        if cells[0]:
            rows[cells[0]] = cells[1:]
    return rows


def test_latex_scores(report: Report, scores):
    rows = _latex_rows((report.folder / "tables/scores.tex").read_text())
    assert len(rows) == 9
    for label, cells in rows.items():
        for task, mean, beside in (("rotten_tomatoes", *cells[:2]), ("bbc_news", *cells[2:4])):
            values = scores.get((label, task), [])
            assert len(values) == NOT_SCORED.get((label, task), 3)
            if not values:
                assert mean == "--"
                continue
            assert mean == f"{100 * statistics.mean(values):.1f}"
            spread, note = re.fullmatch(r"± ([\d.]+)(?: \((\d)\))?", beside).groups()
            assert spread == f"{100 * statistics.stdev(values):.1f}"
            assert note == (None if len(values) == 3 else str(len(values)))


def test_csv_holds_full_precision_and_the_cells_behind_it(report: Report, usual: Path, scores):
    table = pd.read_csv(report.folder / "tables/scores.csv", keep_default_na=True)
    assert len(table) == 18
    for line in table.itertuples():
        values = scores.get((line.label, line.task), [])
        assert line.n == len(values)
        if values:
            assert line.mean == pytest.approx(statistics.mean(values), rel=1e-12)
            assert line.sd == pytest.approx(statistics.stdev(values), rel=1e-9)
            behind = [json.loads((usual / "cells" / i / "record.json").read_text()) for i in line.cells.split()]
            assert {r["cell"]["label"] for r in behind} == {line.label}
            assert sorted(r["test"]["accuracy"] for r in behind) == sorted(values)


def test_html_scores_and_links(report: Report, scores):
    page = report.page.read_text()
    table = re.search(r'<figure id="tab-scores".*?</figure>', page, re.DOTALL).group()
    rows = re.findall(r'<tr[^>]*><th class="label" scope="row">(.*?)</th>(.*?)</tr>', table)
    assert len(rows) == 9
    overview = json.loads(re.search(r'id="overview">(.*?)</script>', page, re.DOTALL).group(1))
    ids = set(overview["ids"])
    assert len(ids) == 54
    for label, cells in rows:
        exact = re.findall(r'data-value="([^"]+)"><a href="#(?:cell-|records=)([\w,]+)"[^>]*>([\d.]+)', cells)
        expected = [scores[label, task] for task in ("rotten_tomatoes", "bbc_news") if (label, task) in scores]
        assert [float(value) for value, _, _ in exact] == pytest.approx([statistics.mean(v) for v in expected])
        assert [shown for *_, shown in exact] == [f"{100 * statistics.mean(v):.1f}" for v in expected]
        assert all(set(target.split(",")) <= ids for _, target, _ in exact)


def test_cost_table_shows_means_of_profiled_cells_only(report: Report, usual: Path):
    peaks: dict[str, list[int]] = {}
    latencies = []
    for path in usual.glob("cells/*/record.json"):
        record = json.loads(path.read_text())
        if record["cost"]:
            peaks.setdefault(record["cell"]["label"], []).append(record["cost"]["peak_memory_bytes"])
            if record["cell"]["label"] == "lora":
                backbone = record["cost"]["backbone_inference_seconds"]
                latencies.append(record["cost"]["merged_inference_seconds"] / backbone)
    assert len(peaks["bitfit"]) == 5  # one is scored but not profiled
    rows = _latex_rows((report.folder / "tables/cost.tex").read_text())
    for label, values in peaks.items():
        assert rows[label][4] == f"{statistics.mean(values) / 1e6:.0f}"
    assert rows["lora"][0] == "73.7k"
    assert rows["full"][0] == "22.7M"
    assert rows["head"][0] == "0"
    merged = 11  # after five plain columns and three with their spread
    assert rows["full"][merged] == "--"
    assert rows["lora"][merged] == f"{statistics.mean(latencies):.2f}"


def test_differences_are_paired_by_seed(report: Report, usual: Path):
    by_seed: dict[tuple[str, str], dict[int, float]] = {}
    for path in usual.glob("cells/*/record.json"):
        record = json.loads(path.read_text())
        if record["test"]:
            cell = record["cell"]
            by_seed.setdefault((cell["label"], cell["task"]), {})[cell["seed"]] = record["test"]["accuracy"]
    table = pd.read_csv(report.folder / "tables/differences.csv")
    for line in table.itertuples():
        own, full = by_seed[line.label, line.task], by_seed["full", line.task]
        expected = [own[seed] - full[seed] for seed in own]
        assert line.mean == pytest.approx(statistics.mean(expected))
        assert line.sd == pytest.approx(statistics.stdev(expected))
    assert table["p"].isna().all()  # three seeds
    assert "too few" in (report.folder / "report.tex").read_text()


def test_macros_give_the_same_numbers(report: Report, scores):
    numbers = (report.folder / "numbers.tex").read_text()
    for (label, task), values in scores.items():
        assert f"\\benchdefine{{mean||{label}|{task}}}{{{100 * statistics.mean(values):.1f}}}" in numbers
        assert f"\\benchdefine{{n||{label}|{task}}}{{{len(values)}}}" in numbers


def test_unfinished_cells_are_shown_with_their_reasons(report: Report):
    table = pd.read_csv(report.folder / "tables/unfinished.csv", keep_default_na=False)
    assert list(zip(table["label"], table["task"], table["seeds"].astype(str), table["status"], strict=True)) == [
        ("prompt_tuning", "rotten_tomatoes", "2", "failed"),
        ("prefix_tuning", "bbc_news", "0, 1, 2", "n/a"),
        ("hyperformer", "bbc_news", "1", "not run"),
    ]
    page = html.unescape(report.page.read_text())
    source = (report.folder / "tables/unfinished.tex").read_text()
    assert "out of memory: the process was killed (SIGKILL) at step 41; see log.txt" in page
    assert "50%_of & these <models> lack" in page
    assert r"50\%\_of \& these \textless{}models\textgreater{} lack" in source
    assert "5 of 54 cells have no score" in (report.folder / "report.tex").read_text()


def test_prose_states_the_range_of_the_means(report: Report, scores):
    means = {label: statistics.mean(v) for (label, task), v in scores.items() if task == "rotten_tomatoes"}
    low, high = min(means.values()), max(means.values())
    page = re.sub(r"<[^>]+>", "", report.page.read_text())
    assert f"test accuracy runs from {100 * low:.1f} (head) to {100 * high:.1f} points (full)" in page
