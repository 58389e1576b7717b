"""Pages of docs/ are what the records in docs/records say, and say where there are none."""

from __future__ import annotations

import io
import json
import re
import statistics
import tarfile
from pathlib import Path

import pytest
import synthetic_results as synthetic
import test_report_tuning as searched

from records import archive
from records.record import Record
from records.store import RecordStore, ResultsError
from reports import build_docs
from reports.render.documentation import rate

UNTRACED = "Copied by hand from runs whose records are not in this repository"


def suite(name: str, cells: list, **keys: object) -> dict:
    return synthetic.suite(cells) | {"name": name} | keys


def add(results: Path, docs: Path, name: str, records: list[Record], **keys: object) -> str:
    """Takes in a made-up run, and returns its page."""
    cells = [record.cell for record in records]
    synthetic.write(results, cells, records, suite=suite(name, cells, **keys))
    build_docs.add(results, docs)
    return next(build_docs.pages(docs)[page] for page, suites in build_docs.PAGES.items() if name in suites)


def rows(page: str) -> dict[str, list[str]]:
    """The first table of a page, by its first column."""
    lines = page[page.index("\n| --- |") :].splitlines()[2:]
    table = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells}


def test_pages_are_what_the_records_say():
    for name, text in build_docs.pages().items():
        there = (build_docs.DOCS / f"{name}.md").read_text(encoding="utf-8")
        assert there == text, f"docs/{name}.md: `make docs` writes it anew"


@pytest.mark.parametrize("name", build_docs.PAGES)
def test_a_page_of_which_records_lack_says_so(name: str):
    page = (build_docs.DOCS / f"{name}.md").read_text(encoding="utf-8")
    lacking = [
        suite
        for suite in build_docs.PAGES[name]
        if not (build_docs.DOCS / "records" / f"{suite}{archive.ENDING}").exists()
    ]
    assert page.count(UNTRACED) == len(lacking)
    for there in set(build_docs.PAGES[name]) - set(lacking):
        assert f"(records/{there}{archive.ENDING})" in page


def test_numbers_of_the_default_suite_are_those_of_its_records(tmp_path: Path):
    made = [synthetic.record(cell) for cell in synthetic.grid()]
    page = add(tmp_path / "results", tmp_path / "docs", "embedded", made)
    assert UNTRACED not in page
    found = rows(page)
    assert set(found) == {record.cell.label for record in made}
    for label, row in found.items():
        of = {task: [r for r in made if (r.cell.label, r.cell.task) == (label, task)] for task in synthetic.TASKS}
        for shown, records in zip(row, of.values(), strict=False):
            scores = [100 * record.test["accuracy"] for record in records]
            assert shown == f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}"
        costs = [record.cost for record in of["rotten_tomatoes"] if record.cost]
        assert row[2] == f"{100 * of['rotten_tomatoes'][0].parameters.adapter / synthetic.BACKBONE_PARAMETERS:.2f}"
        assert row[3] == f"{statistics.median(cost.train_tokens_per_second for cost in costs):,.0f}"
        assert row[4] == f"{statistics.median(cost.peak_memory_bytes for cost in costs) / 1e6:,.0f}"
        ratios = [cost.inference_seconds / cost.backbone_inference_seconds for cost in costs]
        assert row[5] == f"{statistics.median(ratios):.2f}"
    seconds = round(sum(record.wall_seconds for record in made))
    assert f"{seconds // 60} min {seconds % 60} s" in page.replace("\n", " ")
    assert "commit 566e2b7" in page and "2,000 training examples" in page.replace("\n", " ")


def test_gains_over_the_head_are_paired_by_seed(tmp_path: Path):
    made = [synthetic.record(cell) for cell in synthetic.grid(["full", "head", "lora"], ["rotten_tomatoes"], 4)]
    low = next(record for record in made if record.cell.label == "lora" and record.cell.seed == 2)
    low.test["accuracy"] = 0.1
    other = synthetic.grid(["bitfit"], ["rotten_tomatoes"], 4)
    made += [synthetic.record(cell, "n/a", reason="does not apply") for cell in other]
    page = add(tmp_path / "results", tmp_path / "docs", "families", made)
    scores = {(record.cell.label, record.cell.seed): 100 * record.test["accuracy"] for record in made if record.test}
    gains = [scores["full", seed] - scores["head", seed] for seed in range(4)]
    table = {line.split("|")[2].strip(): line for line in page.splitlines() if line.startswith("| ")}
    assert f"+{min(gains):.1f} to +{max(gains):.1f}" in table["full"]
    assert "With every seed, all do but 1: lora." in page and "| – | – |" in table["bitfit"]
    assert page.count(UNTRACED) == 1  # of the masks, which have no records here


def test_the_page_of_learning_rates_is_what_the_search_says(tmp_path: Path):
    docs = tmp_path / "docs"
    root = searched.write(tmp_path / "results", curves={"lora": [*searched.LORA[:7], (None, None, None)]}, full=True)
    build_docs.add(root / "tuning", docs)
    page = build_docs.pages(docs)["learning-rates"]
    # The sixth rate has .81 at its end, of 400 examples: 81.0 ± 2.0 points.
    rate_of = ["1.33e-4", "2.37e-4", "4.22e-4", "7.5e-4", "1.33e-3", "2.37e-3", "4.22e-3", "7.5e-3"]
    assert rows(page)["lora"] == ["1e-4", "1e-2", "the paper used 2e-4", rate_of[5], "81.0 ± 2.0", "no", "0.0"]
    line = next(line for line in page.splitlines() if "**81.0**" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == ["lora"] + [
        f"{rate}: {said}" for rate, said in zip(
            rate_of, ["70.0", "72.0", "76.0", "79.0", "80.0", "**81.0**", "75.0", "failed"], strict=True
        )
    ]  # fmt: skip
    said = page.replace("\n", " ")
    assert "After 17 % and 50 % of the steps the best 3 and 2 go on" in said
    assert "In 1 of 1 that is within one standard error of the chosen one's score over its examples." in said
    assert page.count(UNTRACED) == 2


def test_forgetting_and_prompting_are_on_the_page_of_the_decoder(tmp_path: Path):
    made = []
    for cell in synthetic.grid(["full", "lora"], ["rotten_tomatoes"], 2):
        record = synthetic.record(cell)
        made.append(
            record.model_copy(update={"forgetting": {"before": 0.747, "after": 0.747 + 0.01 * (1 + cell.seed)}})
        )
    page = add(tmp_path / "results", tmp_path / "docs", "decoder", made)
    assert rows(page)["lora"][3] == "+0.015"
    assert "from 0.747 by the bare backbone" in page.replace("\n", " ")


@pytest.mark.parametrize(("value", "said"), [(5e-5, "5e-5"), (0.0015, "1.5e-3"), (0.05, "5e-2")])
def test_rates_are_written_as_suites_have_them(value: float, said: str):
    assert rate(value) == said


def test_an_archive_is_a_results_folder_and_the_same_records_give_the_same_bytes(usual: Path, tmp_path: Path):
    made = [synthetic.record(cell) for cell in synthetic.grid(["lora", "full"], seeds=2)]
    store = RecordStore(synthetic.write(tmp_path / "results", [record.cell for record in made], made))
    (store.root / "cells" / made[0].id / "log.txt").write_text("secret")
    packed = archive.pack(store, "embedded")
    assert packed == archive.pack(store, "embedded") and b"secret" not in packed
    assert len(packed) < sum(path.stat().st_size for path in store.root.rglob("*.json")) / 4
    (tmp_path / "embedded.tar.xz").write_bytes(packed)
    unpacked = archive.unpack(tmp_path / "embedded.tar.xz", tmp_path / "there")
    assert list(unpacked.records()) == list(store.records()) and unpacked.manifest() == store.manifest()
    assert {path.name for path in unpacked.root.rglob("*.*")} == {"manifest.json", "record.json"}


def test_what_is_no_finished_run_of_a_suite_with_a_page_is_refused(usual: Path, tmp_path: Path):
    with pytest.raises(ResultsError, match=r"2 of 54 cells have no result, as [0-9a-f]{12}; run the suite to its end"):
        build_docs.add(usual, tmp_path)
    manifest = json.loads((usual / "manifest.json").read_text())
    manifest["suite"]["name"] = "mine"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=r"holds the suite 'mine', of which no page speaks"):
        build_docs.add(tmp_path, tmp_path / "docs")
    assert build_docs.main(["--add", str(tmp_path / "nowhere")]) == 1
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside-of-docs"])
def test_an_archive_writes_nothing_outside_its_folder(tmp_path: Path, name: str):
    path = tmp_path / "evil.tar.xz"
    with tarfile.open(path, "w:xz") as made:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        made.addfile(entry, io.BytesIO(b"x"))
    inside = tmp_path / "in"
    inside.mkdir()
    with pytest.raises(ResultsError, match=re.escape(str(path))):
        archive.unpack(path, inside)
    assert not (tmp_path / "outside").exists() and not Path("/tmp/outside-of-docs").exists()


def test_an_archive_that_was_cut_or_damaged_is_one_line(tmp_path: Path):
    made = [synthetic.record(cell) for cell in synthetic.grid(["lora"], seeds=2)]
    packed = archive.pack(RecordStore(synthetic.write(tmp_path / "results", [m.cell for m in made], made)), "embedded")
    half, path = len(packed) // 2, tmp_path / "embedded.tar.xz"
    for data in (b"no archive", packed[:half], packed[:half] + bytes(64) + packed[half + 64 :]):
        path.write_bytes(data)
        with pytest.raises(ResultsError, match="is no archive of records"):
            archive.unpack(path, tmp_path / "in")
