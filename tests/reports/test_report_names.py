"""Names in any script, and names that are alike: told apart in macros, titles, labels and files, and printed."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import synthetic_results as synthetic

from reports.analysis.analysis import analyse
from reports.drawing.theme import fallback_fonts, has_glyphs
from reports.model.references import run_entry
from reports.render import compiling
from reports.render.macros import macro_names, numbers
from reports.render.scripts import draw_pictures
from reports.results import read, told_apart

needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")
needs_text = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")

LABELS = (
    "größe",
    "grüße",
    "模型",
    "数据",
    "😀",
    "a b",
    "a-b",
    "a#b",
    "a%b",
    "{a}",
    "a|b",
    "a\\b",
    "ａb",
    "a~b",
    "é",
    "e\u0301",
)


def labelled(root: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """Each label with a score of its own on one task."""
    cells, records = [], []
    for i, label in enumerate(labels):
        cell = synthetic.cell("lora", "bbc_news", 0, label=label)
        cells.append(cell.model_copy(update={"hyperparameters": {"lr": 1e-3, "number": i}}))
        records.append(synthetic.record(cells[-1], score=0.4 + 0.01 * i))
    return synthetic.write(root, cells, records)


def test_names_of_macros_are_as_many_as_names():
    names = macro_names(LABELS)
    assert len(set(names.values())) == len(LABELS)
    for kept in ("größe", "grüße", "模型", "数据", "😀", "a-b", "é"):
        assert names[kept] == kept
    shuffled = list(LABELS)
    random.Random(1).shuffle(shuffled)
    assert macro_names(shuffled) == names
    assert macro_names(["a b"]) == {"a b": "a-b"}
    assert macro_names(["a b", "lora"])["a b"] == "a-b"
    assert not any(c in safe for safe in names.values() for c in r"\{}#%&~^$| ")


@needs_latex
@needs_text
def test_every_label_has_its_own_number_in_latex(tmp_path: Path):
    results = read(labelled(tmp_path / "r"))
    names = macro_names(results.labels)
    (tmp_path / "numbers.tex").write_text(numbers(analyse(results)))
    lines = "".join(f"x{i}: \\benchmean{{{names[label]}}}{{bbc_news}};\n\n" for i, label in enumerate(LABELS))
    (tmp_path / "report.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{graphicx}\\input{numbers}\\begin{document}"
        f"{lines}\\end{{document}}"
    )
    compiled = compiling.compile_pdf(tmp_path, "report")
    assert compiled.pdf is not None, compiled.said
    printed = subprocess.run(["pdftotext", compiled.pdf, "-"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"x(\d+): ([\d.]+);", printed))
    assert found == {str(i): f"{40 + i:.1f}" for i in range(len(LABELS))}


def test_changed_names_are_listed_in_numbers_tex(tmp_path: Path):
    lines = numbers(analyse(read(labelled(tmp_path / "r")))).splitlines()
    for label, safe in macro_names(LABELS).items():
        shown = label.replace("\\", "\\textbackslash ")
        assert (f"% In names, '{shown}' is {safe}" in lines) == (label != safe)


def test_titles_that_are_alike_are_told_apart_by_their_names(tmp_path: Path):
    assert told_apart("/data/a/tiny", ["/data/a/tiny", "/data/b/tiny"]) == "a/tiny"
    assert told_apart("x/a/tiny", ["x/a/tiny", "y/a/tiny"]) == "x/a/tiny"
    assert told_apart("files:a/reviews.csv", ["files:a/reviews.csv", "files:b/reviews.csv"]) == "files:a/reviews.csv"
    cells = [synthetic.cell("full", "bbc_news", 0), synthetic.cell("full", "bbc_news", 1)]
    cells = [c.model_copy(update={"backbone": f"/models/{name}/tiny"}) for c, name in zip(cells, "ab", strict=True)]
    cards = {"methods": synthetic.method_cards(), "tasks": synthetic.TASKS,
             "backbones": {c.backbone: {"title": "tiny"} for c in cells}}  # fmt: skip
    results = read(synthetic.write(tmp_path / "r", cells, [synthetic.record(c) for c in cells], cards=cards))
    assert [results.title("backbones", name) for name in results.backbones] == ["tiny (a/tiny)", "tiny (b/tiny)"]
    assert results.title("tasks", "bbc_news") == "BBC News"


def test_suites_of_like_names_have_other_keys(tmp_path: Path):
    keys = []
    for i, name in enumerate(("größe", "grüße", "模型", "plain")):
        cells = [synthetic.cell("full", "bbc_news", i)]
        root = synthetic.write(tmp_path / str(i), cells, [], suite=synthetic.suite(cells) | {"name": name})
        keys.append(run_entry(read(root)).key)
    assert len(set(keys)) == 4
    assert keys[-1] == "run-plain"
    assert all(re.fullmatch("[A-Za-z0-9-]+", key) for key in keys)


@pytest.mark.parametrize("word", ["привет", "שלום עולם", "مرحبا", "γάτα", "ș"])
def test_words_that_latex_lacks_are_pictures_as_wide_as_they_are(tmp_path: Path, word: str):
    """DejaVu Sans, which matplotlib brings, has these."""
    from reports.render.escape import latex_text

    assert has_glyphs(word)
    source = latex_text(f"before {word} after {word}")
    assert source.startswith("before \\benchscript{")
    (tmp_path / "report.tex").write_text(source)
    draw_pictures(tmp_path)
    [picture] = (tmp_path / "figures/scripts").glob("*.pdf")
    assert picture.stem == "-".join(f"{ord(c):x}" for c in word)
    width, height = map(float, re.search(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)", picture.read_bytes()).groups())
    assert height == pytest.approx(14, abs=0.01)
    assert 2.5 * len(word) < width < 9 * len(word)
    (tmp_path / "report.tex").write_text("nothing")
    draw_pictures(tmp_path)
    assert list((tmp_path / "figures/scripts").glob("*")) == []


def test_what_no_font_has_is_named():
    from reports.render.escape import latex_text

    assert not has_glyphs("\U000e0fff")
    assert latex_text("\U0001f600") == r"\benchscript{1f600}{{[}grinning face{]}}"
    assert fallback_fonts()


ODD = "2026-01-10T10:00:00;a,b {c} %d #e ~f $g$ ü 模型 &h ^i 'j' \"k\" -l"


@needs_latex
def test_latex_runs_in_a_folder_of_any_name(tmp_path: Path):
    folder = tmp_path / ODD
    (folder / "tables").mkdir(parents=True)
    (folder / "tables/t.tex").write_text("a table")
    (folder / "own.tex").write_text("own words")
    (folder / "references.bib").write_text("@misc{k, author={Me}, title={T}, year={2026}}")
    (folder / "report.tex").write_text(
        "\\documentclass{article}\\begin{document}\\input{tables/t} \\input{own} \\cite{k}\\bibliographystyle{plain}"
        "\\bibliography{references}\\end{document}"
    )
    compiled = compiling.compile_pdf(folder, "report")
    assert compiled.pdf == folder / "report.pdf", compiled.said
    assert "a table own words [1]" in _printed(compiled.pdf)
    assert (folder / "build/report.log").exists()
    left = ["build", "own.tex", "references.bib", "report.pdf", "report.tex", "tables"]
    assert sorted(p.name for p in folder.iterdir()) == left


def _printed(pdf: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    return " ".join(subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout.split())
