"""How numbers are written: sign, rounding, unit; and that one effect reads the same wherever it is printed."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.cards import Metric
from reports.analysis.statistics import Summary
from reports.build import build_report
from reports.build_talk import build_slides
from reports.model import writing
from reports.model.resources import resource
from reports.scales import Scale, Unit

FRACTION = Scale()
RMSE = Scale(Metric("rmse", higher_is_better=False, high=None), decimals=3)


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "expected"),
    [
        (0.0, 1, False, "0.0"),
        (-0.0, 1, False, "0.0"),
        (0.0, 1, True, "0.0"),
        (-0.04, 1, False, "0.0"),
        (0.04, 1, True, "0.0"),
        (-0.06, 1, True, "−0.1"),
        (0.06, 1, True, "+0.1"),
        (0.06, 1, False, "0.1"),
        (-12.34, 1, False, "−12.3"),
        # Ties are where the binary number is exactly one: to the even digit.
        (0.25, 1, False, "0.2"),
        (0.75, 1, False, "0.8"),
        (2.5, 0, False, "2"),
        (3.5, 0, False, "4"),
        (-2.5, 0, True, "−2"),
        (0.35, 1, False, "0.3"),  # its binary number lies below the tie
        (999.5, 0, False, "1,000"),
        (1234567.891, 2, True, "+1,234,567.89"),
        (-1e9, 0, False, "−1,000,000,000"),
        (math.nan, 1, True, "undefined"),
        (math.inf, 1, False, "undefined"),
        (-math.inf, 1, False, "undefined"),
    ],
)
def test_a_number_has_its_sign_and_is_rounded_as_python_rounds(value, decimals, signed, expected):
    assert writing.decimal(value, decimals, signed) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.00"),
        (0.04116, "0.0412"),
        (0.09996, "0.100"),
        (9.996, "10.0"),
        (-1.234, "−1.23"),
        (999.6, "1,000"),
        (1234.5, "1,230"),
        (0.0000305, "0.0000305"),
        (3.05e-9, "3.05e−09"),
        (math.nan, "undefined"),
    ],
)
def test_three_digits_are_three(value: float, expected: str):
    assert writing.three_digits(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.8994, "0.899"), (0.8999, "0.900"), (0.9, "0.900"), (1.0, "1.000"), (1.046, "1.046"), (1.0996, "1.100"),
     (1.1, "1.10"), (0.62, "0.620"), (12.34, "12.3"), (0.00123, "0.00123"), (0.0, "0")],
)  # fmt: skip
def test_a_ratio_near_one_has_three_decimals_and_any_other_three_digits(value: float, expected: str):
    assert writing.ratio(value) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((-0.4, "points", -1.0, 0.2), "−0.4 points [−1.0, +0.2]"),
        ((-0.04, "points", None, None), "0.0 points"),
        ((-0.04, "points", -0.14, 0.06), "0.0 points [−0.1, +0.1]"),
        ((1.046, "ratio", 1.031, 1.06), "× 1.046 [1.031, 1.060]"),
        ((0.62, "ratio", 0.6, 0.65), "× 0.620 [0.600, 0.650]"),
        ((0.62, "ratio", 0.62001, 0.62002), "× 0.620"),  # counted alike on every run
        ((0.62, "ratio", None, 0.7), "× 0.620"),
        ((0.0412, "percent", None, None), "0.0412 %"),
        ((2.5, "nats", None, None), "2.50 nats"),
    ],
)
def test_an_effect_has_its_unit_and_its_interval(arguments, expected):
    assert writing.effect(*arguments) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(1.0, "points", "+1 points"), (-0.5, "points", "−0.5 points"), (10.0, "points", "+10 points"),
     (1.25, "ratio", "× 1.25"), (1.0, "ratio", "× 1"), (0.8, "ratio", "× 0.8"), (0.0, "points", "0 points"),
     (1000.0, "ratio", "× 1,000")],
)  # fmt: skip
def test_a_limit_has_no_zeros_that_say_nothing(value: float, unit: str, expected: str):
    assert writing.limit(value, unit) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.0125, "p = 0.013"), (0.04996, "p = 0.050"),
     (1.0, "p = 1.000")],
)  # fmt: skip
def test_a_p_value_is_never_nought(p: float, expected: str):
    assert writing.p_equals(p) == expected
    assert expected.endswith(writing.p_value(p))


def test_scores_have_the_sign_and_the_unit_of_their_metric():
    assert writing.score(0.81366, FRACTION) == "81.4"
    assert writing.score(0.81366, FRACTION, unit=True) == "81.4 points"
    assert writing.score(-0.0004, FRACTION, signed=True) == "0.0"
    assert writing.score(-1.2345, RMSE) == "1.234"  # held as its negative
    assert writing.score(0.02, RMSE, signed=True, unit=True) == "−0.020"  # better by .02: the error is less
    assert writing.score(math.nan, FRACTION) == "undefined"
    assert writing.spread(0.0123, RMSE.unit) == "0.012"
    assert writing.with_spread(Summary(0.8, 0.0123, 3), FRACTION.unit) == "80.0 ± 1.2"
    assert writing.with_spread(Summary(0.8, None, 1), FRACTION.unit, signed=True) == "+80.0"
    assert writing.named_metric("rmse", RMSE) == "rmse (less is better)"
    assert writing.named_metric("accuracy", FRACTION) == "accuracy in points"


def test_amounts_and_spans_have_one_unit():
    assert writing.amount(8.355e8, writing.unit_for("bytes", [8.355e8])) == "836 MB"
    assert writing.amount(3.0, Unit("", 1.0, 0)) == "3"
    assert writing.span([0.31, 1.24, 0.5], 1) == "0.3–1.2"
    assert writing.span([1.21, 1.24], 1) == "1.2"
    assert writing.span([-0.31, 1.24], 1, signed=True) == "−0.3 to +1.2"
    assert writing.span([-0.04, 0.04], 1, signed=True) == "0.0"
    assert writing.number(Summary(-1.0, 0.25, 3), Unit("", -1.0, 1), usual_n=3, signed=True).text == "+1.0"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_page_writes_numbers_as_python_does():
    values = [0.0, -0.04, 0.25, 0.35, 0.75, -2.5, 2.5, 1234.5, -0.06]
    shown = f"console.log(JSON.stringify({values}.map((v) => [fixed(v, 1), fixed(v, 0), threeDigits(v)])))"
    code = resource("page/numbers.js") + shown
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    expected = [[writing.decimal(v, 1), writing.decimal(v, 0), writing.three_digits(v)] for v in values]
    # The page has four digits above a thousand, Python three: neither shows a decimal there.
    assert [row[:2] for row in json.loads(done.stdout)] == [row[:2] for row in expected]


CLAIM = {"text": "Scores less.", "source": "hu2022lora", "measure": "score", "comparator": "full", "margin": 0.01,
         "relation": "lower"}  # fmt: skip


@pytest.mark.usefixtures("blank_figures")
def test_an_effect_reads_the_same_wherever_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = synthetic.write_usual(tmp_path / "results", seeds=6)
    synthetic.with_claims(root, {"lora": [CLAIM, CLAIM | {"text": "Smaller.", "measure": "adapter_parameters"}]})
    monkeypatch.setattr("reports.render.compiling.shutil.which", lambda _: None)  # sources say it all
    report, slides = build_report(root).folder, build_slides(root).folder
    page = (report / "index.html").read_text()
    tables = {place.name: (place / "tables" / "claims.tex").read_text() for place in (report, slides)}
    effects = re.findall(r'<div class="effect">([^<]+)</div>', page)
    assert len(effects) == 2
    for effect in effects:
        assert re.match(r"(× [\d.]+|[−+]?[\d.]+ points)( \[|$)", effect)
        as_latex = effect.replace("×", r"\ensuremath{\times}").replace("−", r"\ensuremath{-}")
        as_latex = as_latex.replace("[", "{[}").replace("]", "{]}")
        for name, text in tables.items():
            assert as_latex in text, (name, effect)
    macros = (report / "numbers.tex").read_text()
    assert macros == (slides / "numbers.tex").read_text()
    cells = [line for line in (report / "tables" / "differences.tex").read_text().splitlines() if "lora" in line]
    found = re.findall(r"\\benchdefine\{difference\|\|lora\|[^}]*\}\{([^\\]+)", macros)
    assert found
    for difference in found:
        assert any(difference.replace("$-$", r"\ensuremath{-}") in line for line in cells)
