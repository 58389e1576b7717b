"""The slides: planned for fifteen minutes, compiled without complaints; and two folders side by side."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path

import pandas as pd
import pytest
import synthetic_suite

from reports.comparison import build_comparison
from reports.compiling import complaints
from reports.slides import build_slides, sentences
from reports.structure import Code

needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")


@needs_latex
@pytest.mark.parametrize(("suite", "topic"), [("embedded", "all"), ("families", "lowrank")])
def test_slides_compile_and_fill_a_quarter_of_an_hour(tmp_path: Path, suite: str, topic: str):
    slides = build_slides(synthetic_suite.write_suite(tmp_path / "results", suite), topic=topic)
    assert slides.pdf is not None, slides.lines
    assert complaints((slides.folder / "build/slides.log").read_text(errors="replace")) == []
    minutes = [
        float(m) for m in re.findall(r"^% ([\d.]+) min$", (slides.folder / "slides.tex").read_text(), re.MULTILINE)
    ]
    assert sum(minutes) + 0.5 == 15
    assert min(minutes) >= 0.5


def test_sentences_are_parted_where_they_end():
    text = ("One of 1.5 points. Two (", Code("x.y"), ") ends. ", "Three, e.g. this.")
    assert [len(s) for s in sentences(text)] == [1, 3, 1]


def test_two_folders_side_by_side(tmp_path: Path):
    a = synthetic_suite.write_suite(tmp_path / "before")
    b = synthetic_suite.write_suite(tmp_path / "after", shift=0.02)
    for path in b.glob("cells/*/record.json"):
        record = json.loads(path.read_text())
        record["environment"] |= {"processor": "another", "precision": "fp32"}
        path.write_text(json.dumps(record))
    made = build_comparison(a, b)
    assert [w for w in made.warnings if "processor differs" in w and "another" in w]
    assert [w for w in made.warnings if "arithmetic differs (bf16 and fp32)" in w]
    assert not [w for w in made.warnings if "budget" in w or "hyperparameters" in w]
    table = pd.read_csv(made.folder / "tables/compared-scores.csv")
    means = []
    for root in (a, b):
        records = [json.loads(p.read_text()) for p in root.glob("cells/*/record.json")]
        means.append(statistics.mean(r["test"]["accuracy"] for r in records
                                     if (r["cell"]["label"], r["cell"]["task"]) == ("lora", "bbc_news")))  # fmt: skip
    (line,) = table[(table["label"] == "lora") & (table["task"] == "bbc_news")].to_dict("records")
    assert line["difference"] == pytest.approx(means[1] - means[0])
    assert line["pairs"] == 3
