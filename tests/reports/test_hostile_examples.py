"""Test examples and labels from a stranger: whatever they hold is shown as it is, or left out, and does nothing."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import kept
import pandas as pd
import pytest
import synthetic_results as synthetic
from browser import write_page

from reports.analysis.analysis import Analysis, analyse
from reports.build import build_report
from reports.build_talk import build_slides
from reports.model.document import Document, Table
from reports.model.prose import OURS
from reports.render import compiling, latex, macros
from reports.render.csv import as_data, write_csv
from reports.render.templating import Style
from reports.results import read
from reports.sections import calibration, errors, examples, report

LABELS = ("</script><script>alert(1)</script>", r"}\input{/etc/passwd}{$%")
TEXTS = {
    "script": "</script><script>alert(2)</script><!-- <img src=x onerror=alert(3)>",
    "latex": r"\input{/etc/passwd} \immediate\write18{touch ran} {{{ $x_ % ~ ^^5c \end{document}",
    "bidi": "\u202egnp.exe\u202c \u2066isolated\u2069 \u200f\u200e",
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe \u00ad",
    "one word": "x" * 10**6,
    "control": "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m \x7f \x9b",
    "right to left": "שלום עולם مرحبا بالعالم",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 中文 naïve",
    "formula": '=HYPERLINK("https://example.org","click")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "lines": "one\ntwo\r\nthree\u2028four",
    "accents": "Z" + "\u0301\u0316" * 200,
    "surrogate": "half \ud83d of a pair",
    "template": "{{ 7*7 }} ${7*7} ((( 7 ))) ((* raw *)) __proto__",
}
# What a table of ours has none of.
COMMANDS = re.compile(r"\\(input|immediate|write18|end\{document\})")
needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = {name: dict(task) for name, task in synthetic.TASKS.items()}
    tasks["rotten_tomatoes"]["labels"] = list(LABELS)
    cards = {"methods": synthetic.method_cards(), "tasks": tasks, "backbones": synthetic.BACKBONES}
    cells = synthetic.grid(("full", "bitfit", "lora", "houlsby"), ("rotten_tomatoes",), 2)
    root = tmp_path_factory.mktemp("hostile") / "results"
    synthetic.write(root, cells, map(synthetic.record, cells), cards=cards)
    texts = {name: text.encode("utf-8", "replace").decode() for name, text in TEXTS.items()}
    return kept.keep_all(root, n=len(texts), texts=texts)


@pytest.fixture(scope="module")
def analysis(root: Path) -> Analysis:
    found = analyse(read(root))
    assert len(found.errors[0].examples) == len(TEXTS)
    return found


def test_texts_are_one_printable_line_of_bounded_length(analysis: Analysis):
    for example in analysis.errors[0].examples:
        assert 0 < len(example.text) <= 300
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", example.text)


def test_the_page_shows_texts_and_labels_and_runs_nothing(root: Path, opened):
    page = opened(write_page(root, root.parent / "page", drawn=False))
    shown = page.eval_on_selector_all("#error-list tbody tr td:first-child", "els => els.map(el => el.textContent)")
    assert len(shown) == len(TEXTS)
    for name in ("script", "latex", "right to left", "emoji", "formula", "template"):
        assert any(text.startswith(TEXTS[name]) for text in shown)
    assert any(text.startswith("x" * 299 + "…") for text in shown)
    assert set(page.eval_on_selector_all("#error-list td:nth-child(2)", "els => els.map(el => el.textContent)")) <= set(
        LABELS
    )
    assert page.eval_on_selector_all("script", "els => els.length") == 4
    assert page.eval_on_selector_all("[onerror], img, iframe", "els => els.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A text that runs from right to left turns nothing around it.
    assert page.eval_on_selector_all("#error-list bdi", "els => els.every(el => el.dir === 'auto')")


@needs_latex
def test_the_report_compiles_and_reads_no_file(analysis: Analysis, tmp_path: Path, blank_figures: None):
    parts = [subject.part(analysis, OURS).section for subject in (errors, examples, calibration)]
    sections = tuple(section for section in parts if section)
    made = report.known_only(Document("Title", "Subtitle", "today", (), (), sections), {})
    latex.write_parts(made, tmp_path, "bench report RESULTS")
    latex.write_references({}, analysis.run, tmp_path)
    (tmp_path / "numbers.tex").write_text(macros.numbers(analysis), encoding="utf-8")
    (tmp_path / "build").mkdir()
    latex.write_source(made, tmp_path, Style())
    compiled = compiling.compile_pdf(tmp_path, "report")
    assert compiled.pdf is not None, compiled.said
    source = (tmp_path / "tables/hard-examples.tex").read_text()
    assert r"\textbackslash{}input\{/etc/passwd\}" in source
    assert not COMMANDS.search(source)
    assert not (tmp_path / "ran").exists()


def test_slides_hold_no_command_of_theirs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_figures: None
):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    built = build_slides(root, tmp_path)
    sources = [(built.folder / "slides.tex").read_text(), *(p.read_text() for p in built.folder.glob("tables/*.tex"))]
    assert "Do families err alike?" in sources[0]
    assert not any(re.search(r"\\(input\{/etc|immediate)|[\x00-\x08\u202e]", source) for source in sources)


@needs_latex
@pytest.mark.exhaustive
def test_slides_and_the_whole_report_compile_with_them(root: Path, tmp_path: Path, blank_figures: None):
    for build in (build_slides, build_report):
        built = build(root, tmp_path / build.__name__)
        assert built.pdf is not None, built.lines
        assert not (tmp_path / build.__name__ / "ran").exists() and not (tmp_path / "ran").exists()


def test_csv_files_hold_no_formula_and_no_control_character(analysis: Analysis, tmp_path: Path):
    [table] = examples.hardest(analysis)
    write_csv(table, tmp_path)
    with (tmp_path / "hard-examples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(TEXTS)
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@"))
            assert not re.search("[\x00-\x1f\x7f]", cell)
    assert any(row["text"].startswith("'=HYPERLINK") for row in rows)


@pytest.mark.parametrize("value", ["-0.5", "+1e-3", -0.5, None, "lora", "inf", "−0.5"])
def test_numbers_and_plain_texts_stay_as_they_are(value: Any):
    assert as_data(value) == value


def test_a_csv_file_is_the_data_at_full_precision(tmp_path: Path):
    data = pd.DataFrame({"a": [1, 2], "b": [0.1 + 0.2, float("nan")], "c": ["x", None], "d": ["-x", "=1"]})
    write_csv(Table("t", (), (), (), data), tmp_path)
    assert (tmp_path / "t.csv").read_text() == "a,b,c,d\n1,0.30000000000000004,x,'-x\n2,,,'=1\n"
