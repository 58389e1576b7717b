"""Escaping, rounding, units, BibTeX and label placement."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.drawing.labels import Anchor, place_around, spread_out
from reports.drawing.panels import short
from reports.model.references import merge, parse
from reports.model.writing import count, points, unit_for
from reports.render.bibtex import bibtex
from reports.render.escape import latex_text
from reports.render.formulas import layout_of
from reports.render.inline_svg import formula_svg
from reports.render.latex import equation


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a_b & 5% #1", r"a\_b \& 5\% \#1"),
        ("--lr", r"-{}-lr"),
        ("10–20", "10--20"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("[x]", "{[}x{]}"),
        ("naïve Łódź", "naïve Łódź"),
        ("😀", r"\benchscript{1f600}{{[}grinning face{]}}"),
        ("模型", r"\benchscript{6a21-578b}{{[}U+6A21{]}{[}U+578B{]}}"),
        ("a\x1bb", "a{[}U+001B{]}b"),
        ("ﬁn", "fin"),
        ("αβ: θ", r"\ensuremath{\alpha}\ensuremath{\beta}: \ensuremath{\theta}"),
        ("x\n\ny", "x  y"),
    ],
)
def test_latex_text(raw: str, expected: str):
    assert latex_text(raw) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (770, "770"), (7_680, "7.68k"), (73_728, "73.7k"), (294_912, "295k"), (999_499, "999k"),
     (999_600, "1.00M"), (99_960, "100k"),
     (22_713_216, "22.7M"), (7_241_732_096, "7.24B")],
)  # fmt: skip
def test_counts_have_three_digits(value: int, expected: str):
    assert count(value) == expected


def test_points_and_units():
    assert points(0.81366) == "81.4"
    assert points(-0.0123, signed=True) == "−1.2"
    assert points(0.004, signed=True) == "+0.4"
    assert unit_for("bytes", [3e4, 9.1e7])[:2] == ("MB", 1e-6)
    assert unit_for("bytes", [4e9, 8e10])[:2] == ("GB", 1e-9)
    assert unit_for("seconds", [0.0123])[:2] == ("ms", 1e3)
    assert unit_for("seconds", [0.0123]).decimals == 1


def test_formula_that_breaks_out_is_set_as_code():
    assert equation(r"h = Wx") == r"\benchformula{h = Wx}"
    assert "aligned" in equation(r"a &= b \\ c &= d")
    for formula in ("a } b", "a $ b", "a % b", "a\n\nb", "{"):
        assert layout_of(formula) is None
        assert "\\texttt{" in equation(formula)


def test_formula_in_html_is_drawn_or_shown_as_source():
    drawn = formula_svg(r"h = W x + \frac{\alpha}{r} B A x", "a")
    assert drawn.startswith("<svg")
    shown = formula_svg(r"\unknowncommand{x} < y", "b")
    assert shown.startswith(r"<code>\unknowncommand{x} &lt; y</code>")


def test_bibtex_is_read_and_written():
    text = r"""
@inproceedings{ansell2022ltsft,
  author = {Ansell, Alan and Vuli{\'c}, Ivan and Sch{\"u}tze, H.},
  title = "Composable {S}parse & more",
  pages = {1--9}, year = 2022
}
@comment{nothing}
@misc{broken, title = {never closed
"""
    (entry,) = parse(text)
    assert entry.authors == ["Alan Ansell", "Ivan Vulić", "H. Schütze"]
    assert entry.short == "Ansell et al."
    assert entry.plain("title") == "Composable Sparse & more"
    assert entry.fields["pages"] == "1–9"
    written = bibtex(entry)
    assert r"title = {Composable {S}parse \& more}" in written
    assert "pages = {1--9}" in written
    assert parse(written)[0].key == "ansell2022ltsft"


def test_merging_keeps_one_entry_per_key():
    merged = merge(["@misc{a, title={first}}", "@misc{A, title={second}} @misc{b, title={third}}"])
    assert [entry.plain("title") for entry in merged.values()] == ["first", "third"]


def test_two_authors_and_an_address():
    (entry,) = parse("@misc{k, author={Li, Xiang Lisa and Liang, Percy}, year={2021}, eprint={2101.00190}}")
    assert entry.short == "Li and Liang"
    assert entry.url == "https://arxiv.org/abs/2101.00190"
    (bad,) = parse("@misc{k, title={t}, url={javascript:alert(1)}}")
    assert bad.url is None


@pytest.mark.parametrize("seed", range(10))
def test_spread_out_labels_never_collide_and_keep_their_order(seed: int):
    rng = random.Random(seed)
    wanted = [rng.uniform(0, 100) for _ in range(9)]
    placed = spread_out(wanted, gap=9, low=0, high=100)
    order = sorted(range(9), key=lambda i: wanted[i])
    steps = [placed[b] - placed[a] for a, b in pairwise(order)]
    assert min(steps) >= 9 - 1e-9
    assert min(placed) >= -1e-9
    assert max(placed) <= 100 + 1e-9
    assert spread_out([10, 50, 90], gap=9, low=0, high=100) == [10, 50, 90]


def test_labels_around_points_do_not_overlap():
    figure = Figure(figsize=(4, 3), dpi=72)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    rng = random.Random(3)
    anchors = []
    for i in range(9):
        x, y = axes.transData.transform((0.3 + 0.3 * rng.random(), 0.3 + 0.4 * rng.random()))
        anchors.append(Anchor(x, y, f"method_{i}", "black"))
    place_around(axes, anchors, [], 7)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 9
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_long_names_are_cut_in_the_middle():
    assert short("lora@r64") == "lora@r64"
    cut = short("lora@a-very-long-configuration-name-r64")
    assert len(cut) == 22
    assert cut.startswith("lora@a")
    assert cut.endswith("-r64")
