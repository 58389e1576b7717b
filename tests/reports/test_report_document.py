"""The document, by topic: its pages, what LaTeX says of it, and that its numbers are those of the records."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import synthetic_suite

from records.store import ResultsError
from reports.build import Report, build_report
from reports.model.document import Cite
from reports.model.prose import OURS
from reports.model.references import merge
from reports.model.resources import resource
from reports.model.topics import topics
from reports.render.compiling import complaints

COSTS = {
    "peak": "peak_memory_bytes",
    "speed": "train_tokens_per_second",
    "step": "step_seconds",
}
needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default suite, every cell done."""
    return synthetic_suite.write_suite(tmp_path_factory.mktemp("embedded") / "results")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-four methods on one task."""
    return synthetic_suite.write_suite(tmp_path_factory.mktemp("families") / "results", "families")


@pytest.fixture(scope="module")
def adapters(families: Path) -> Report:
    return build_report(families, topic="adapters")


def _check(report: Report) -> None:
    assert report.pdf is not None, report.lines
    log = (report.folder / "build/report.log").read_text(errors="replace")
    assert complaints(log) == []
    assert "Float too large" not in log
    # The page of the references, by the text of the PDF itself: the main part ends there or on the page before.
    pages = subprocess.run(["pdftotext", str(report.pdf), "-"], capture_output=True, text=True).stdout.split("\f")
    references = next(i for i, page in enumerate(pages, 1) if re.search(r"^References$", page, re.MULTILINE))
    assert report.pages in (references - 1, references)
    assert 6 <= report.pages <= 8


@needs_latex
@pytest.mark.parametrize("topic", ["all", pytest.param("adapters", marks=pytest.mark.exhaustive)])
def test_main_part_has_six_to_eight_pages(embedded: Path, tmp_path: Path, topic: str):
    _check(build_report(embedded, tmp_path, topic))


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("topic", ["sparse", "lowrank", "prompts", "hypernetworks"])
def test_main_part_of_the_other_topics(embedded: Path, tmp_path: Path, topic: str):
    _check(build_report(embedded, tmp_path, topic))


@needs_latex
@pytest.mark.exhaustive
def test_main_part_with_many_methods(adapters: Report):
    _check(adapters)


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("topic", ["all", "sparse", "lowrank", "prompts", "hypernetworks"])
def test_main_part_with_many_methods_of_the_other_topics(families: Path, tmp_path: Path, topic: str):
    _check(build_report(families, tmp_path, topic))


def _records(root: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("cells/*/record.json"))]


@needs_latex
def test_numbers_of_the_pdf_are_those_of_the_records(adapters: Report, families: Path):
    """Every row of the table of scores, read from the PDF itself."""
    text = subprocess.run(["pdftotext", "-layout", str(adapters.pdf), "-"], capture_output=True, text=True).stdout
    by_label: dict[str, list[float]] = {}
    for record in _records(families):
        by_label.setdefault(record["cell"]["label"], []).append(record["test"]["accuracy"])
    assert len(by_label) == 34
    printed = re.findall(r"(?:^|\s)([a-z][a-z0-9_]+)\s+(\d\d\.\d) ± (\d\.\d)\b", text)
    assert {label for label, *_ in printed} == set(by_label)  # the main part's and the appendix's
    for label, mean, sd in printed:
        assert mean == f"{100 * statistics.mean(by_label[label]):.1f}"
        assert sd == f"{100 * statistics.stdev(by_label[label]):.1f}"


@needs_latex
def test_costs_of_the_pdf_are_those_of_the_records(adapters: Report, families: Path):
    """Peak memory, throughput, step time and latency, read from the PDF's table of costs."""
    text = subprocess.run(["pdftotext", "-layout", str(adapters.pdf), "-"], capture_output=True, text=True).stdout
    by_label: dict[str, list[dict]] = {}
    for record in _records(families):
        by_label.setdefault(record["cell"]["label"], []).append(record)
    row = re.compile(
        r"(?:^|\s)(?P<label>[a-z][a-z0-9_]+)\s+[\d.]+[kMB]?\s+[\d.]+\s+[\d.,]+[kM]?\s+[\d.,]+\s+(?P<peak>[\d,]+)"
        r"\s+(?P<speed>[\d,]+) ± [\d,.]+\s+(?P<step>[\d.,]+) ± [\d,.]+\s+(?P<latency>[\d.]+) ± [\d.]+"
    )
    found = list(row.finditer(text))
    assert {match["label"] for match in found} == set(by_label)
    for match in found:
        costs = [record["cost"] for record in by_label[match["label"]]]
        mean = {name: statistics.mean(cost[name] for cost in costs) for name in COSTS.values()}
        shown = {name: float(match[group].replace(",", "")) for group, name in COSTS.items()}
        assert shown["peak_memory_bytes"] == round(mean["peak_memory_bytes"] / 1e6)
        assert shown["train_tokens_per_second"] == round(mean["train_tokens_per_second"])
        assert shown["step_seconds"] == pytest.approx(1000 * mean["step_seconds"], abs=0.51)
        latency = statistics.mean(cost["inference_seconds"] / cost["backbone_inference_seconds"] for cost in costs)
        assert float(match["latency"]) == pytest.approx(latency, abs=0.0051)


def test_a_topic_shows_its_family_and_the_best_of_the_others_on_validation_data(adapters: Report, families: Path):
    shown = set(pd.read_csv(adapters.folder / "tables/scores.csv")["label"])
    everything = set(pd.read_csv(adapters.folder / "tables/all-scores.csv")["label"])
    cards = json.loads((families / "manifest.json").read_text())["cards"]["methods"]
    validation: dict[str, list[float]] = {}
    for record in _records(families):
        validation.setdefault(record["cell"]["label"], []).append(record["validation"]["accuracy"])
    expected = {label for label in validation if cards[label]["family"] in ("adapter", "baseline")}
    for family in ("sparse", "low-rank", "soft-prompt", "hypernetwork"):
        of = {label: statistics.mean(v) for label, v in validation.items() if cards[label]["family"] == family}
        expected.add(max(of, key=of.__getitem__))
    assert shown == expected
    assert everything == set(validation)


def test_every_number_traces_to_its_cells(adapters: Report, families: Path):
    source = (adapters.folder / "tables/cells.tex").read_text()
    ids = {path.parent.name for path in families.glob("cells/*/record.json")}
    assert set(re.findall(r"\b[0-9a-f]{12}\b", source)) == ids
    assert set(pd.read_csv(adapters.folder / "tables/cells.csv", dtype=str)["cell"]) == ids
    for path in adapters.folder.glob("tables/*.csv"):
        table = pd.read_csv(path)
        if "cells" in table:
            behind = {i for cells in table["cells"].dropna().astype(str) for i in cells.split()}
            assert behind <= ids, path


def test_macros_give_costs_and_differences(adapters: Report, families: Path):
    numbers = (adapters.folder / "numbers.tex").read_text()
    records = [r for r in _records(families) if r["cell"]["label"] in ("lora", "full")]
    peak = statistics.mean(r["cost"]["peak_memory_bytes"] for r in records if r["cell"]["label"] == "lora")
    assert f"\\benchdefine{{cost|peak_memory_bytes||lora|rotten_tomatoes}}{{{peak / 1e6:.0f}\\,MB}}" in numbers
    scores = {(r["cell"]["label"], r["cell"]["seed"]): r["test"]["accuracy"] for r in records}
    gaps = [100 * (scores["lora", seed] - scores["full", seed]) for seed in range(3)]
    sign = "+" if statistics.mean(gaps) >= 0 else "$-$"
    value = f"{sign}{abs(statistics.mean(gaps)):.1f}\\,$\\pm$\\,{statistics.stdev(gaps):.1f}"
    assert f"\\benchdefine{{difference||lora|rotten_tomatoes}}{{{value}}}" in numbers


def test_the_run_is_cited_with_the_hash_of_its_manifest(adapters: Report, families: Path):
    digest = subprocess.run(["sha256sum", str(families / "manifest.json")], capture_output=True, text=True).stdout[:16]
    entry = (adapters.folder / "run.bib").read_text()
    assert "@misc{run-families," in entry
    assert f"SHA-256 {digest}" in entry
    assert "created 2026-01-10" in entry
    assert r"\citep{run-families}" in (adapters.folder / "report.tex").read_text()


def test_claims_of_the_family_are_shown_with_their_sources(adapters: Report, families: Path):
    cards = json.loads((families / "manifest.json").read_text())["cards"]["methods"]
    claims = {c["text"] for card in cards.values() if card["family"] == "adapter" for c in card["claims"]}
    shown = set()
    for key in ("claims", "untestable"):
        table = pd.read_csv(adapters.folder / f"tables/{key}.csv")
        source = (adapters.folder / f"tables/{key}.tex").read_text()
        assert set(re.findall(r"\\citealp\{([^}]*)\}", source)) == set(table["source"])
        shown |= set(table["claim"])
    assert claims <= shown


def test_places_for_own_words_are_marked_and_read_from_files(adapters: Report):
    source = (adapters.folder / "report.tex").read_text()
    assert re.findall(r"\\yourwords\{(\w+)\}\{", source) == [
        "introduction", "background", "results", "limitations", "conclusion",
    ]  # fmt: skip
    assert r"\IfFileExists{words/#1.tex}" in source
    assert "Your words" not in adapters.page.read_text()


def test_every_work_that_a_topic_cites_is_there():
    """A statement whose citation is dropped would stand without its source."""
    entries = merge([resource("references.bib")])
    cited = 0
    for topic in topics().values():
        for heading in ("question", "idea", "what", "why", "how", "doubts"):
            for piece in OURS.text(topic.prose, heading):
                if isinstance(piece, Cite):
                    cited += 1
                    assert set(piece.keys) <= set(entries), topic.key
    assert cited > 10


@needs_latex
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", [pytest.param("class", marks=pytest.mark.exhaustive), "style", "folder"])
def test_own_template_replaces_ours(tmp_path: Path, kind: str):
    root = synthetic_suite.write_suite(tmp_path / "results", "embedded")
    own = tmp_path / "own"
    own.mkdir()
    if kind == "class":
        text = r"\NeedsTeXFormat{LaTeX2e}\ProvidesClass{mine}\LoadClass[11pt]{article}\typeout{OWN LOOK}"
        template = own / "mine.cls"
        template.write_text(text + r"\RequirePackage[numbers]{natbib}")
    elif kind == "style":
        template = own / "mine.sty"
        template.write_text(r"\ProvidesPackage{mine}\typeout{OWN LOOK}\RequirePackage[margin=3cm]{geometry}")
    else:
        template = own
        (own / "mine.cls").write_text(r"\ProvidesClass{mine}\LoadClass{article}\typeout{OWN LOOK}")
        (own / "report.tex.jinja").write_text(
            r"\documentclass{mine}\usepackage{natbib,graphicx,array,booktabs,amsmath,amssymb}\input{numbers}"
            r"\newcommand{\benchformula}[1]{\[#1\]}\newcommand{\yourwords}[2]{}\usepackage{placeins}"
            "\\begin{document}\nNothing but ((( document.title|tex ))): \\benchscore{lora}{bbc_news}.\n"
            "\\end{document}\n"
        )
    report = build_report(root, tmp_path / "report", "lowrank", template)
    assert report.pdf is not None, report.lines
    assert "OWN LOOK" in (report.folder / "build/report.log").read_text(errors="replace")
    source = (report.folder / "report.tex").read_text()
    assert "tgtermes" not in source
    if kind == "folder":
        scores = [r["test"]["accuracy"] for r in _records(root)
                  if (r["cell"]["label"], r["cell"]["task"]) == ("lora", "bbc_news")]  # fmt: skip
        text = subprocess.run(["pdftotext", str(report.pdf), "-"], capture_output=True, text=True).stdout
        assert (
            f"Low-Rank Adaptation: A Critical Look under One Budget: {100 * statistics.mean(scores):.1f}"
            in " ".join(text.split())
        )


@pytest.mark.parametrize(
    ("names", "said"),
    [((), "no such template"), (("a.txt",), "a template is"), (("a.sty", "b.sty"), "which one"),
     (("my class.cls",), "cannot take"), (("mine.cls", "report.tex"), "templates are named")],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_one_clear_line(usual: Path, tmp_path: Path, names, said: str):
    folder = tmp_path / "own"
    if names:
        folder.mkdir()
    for name in names:
        (folder / name).write_text("")
    with pytest.raises(ResultsError, match=said) as caught:
        build_report(usual, tmp_path / "report", template=folder)
    assert "\n" not in str(caught.value)
