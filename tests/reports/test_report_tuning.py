"""A search for hyperparameters in the report: from trials whose scores are written down here."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_results as synthetic
import test_report_claims as claims

from records.cards import Claim, Range
from records.cell import Cell
from records.record import DataUse, Record
from records.tuning import Tuning, tuned_label
from reports.analysis.analysis import Analysis, analyse
from reports.analysis.tuning import expected_best
from reports.drawing import tuning as drawing
from reports.drawing.theme import PAPER
from reports.model.claim_words import caveats
from reports.model.document import Part
from reports.model.prose import OURS, join, plain
from reports.render import macros
from reports.results import read
from reports.sections import report, tuning

TASK = "rotten_tomatoes"
STEPS = 189
# By method, of eight rates from the lowest: scores at a sixth, at half and at the end of the steps.
LORA = [(0.50, 0.60, 0.70), (0.55, 0.65, 0.72), (0.60, 0.70, 0.76), (0.65, 0.74, 0.79), (0.70, 0.76, 0.80),
        (0.68, 0.77, 0.81), (0.60, 0.70, 0.75), (0.50, 0.50, 0.50)]  # fmt: skip
FULL = [(0.60 - 0.01 * i, 0.70 - 0.01 * i, 0.80 - 0.01 * i) for i in range(8)]
SPACES = {
    "lora": (Range("lr", 1e-4, 1e-2, "the paper used 2e-4", "hu2022lora"),),
    "full": (Range("lr", 5e-6, 5e-4, "two decades around the default"),),
}
RATES = {label: [space.at((i + 0.5) / 8) for i in range(8)] for label, (space,) in SPACES.items()}


def write(root: Path, curves: Mapping[str, Sequence] = {"lora": LORA, "full": FULL}, full: bool = False) -> Path:
    """The results of a suite, each configuration as it was given and as it was tuned, and the search that found the
    latter."""
    search = Tuning()
    cells, trials, records = [], [], []
    for label, of in curves.items():
        there = list(range(8))
        for index, rung in enumerate(search.rungs):
            there = _best(there, [scores[index - 1] for scores in of], search.counts[index]) if index else there
            for i in range(8) if full and rung == 1.0 else there:
                changed = {"hyperparameters": {"lr": RATES[label][i]}, "stop": rung}
                trials.append(synthetic.cell(label, TASK, 100).model_copy(update=changed))
                records.append(_record(trials[-1], of[i][index], search.rungs[index - 1] if index else 0.0))
        given = [synthetic.cell(label, TASK, seed) for seed in range(3)]
        tuned = [
            cell.model_copy(update={"label": tuned_label(label), "hyperparameters": {"lr": RATES[label][5]}})
            for cell in given
        ]
        cells += [*given, *tuned]
    suite = synthetic.suite(cells) | {
        "tuning": search.model_dump(mode="json"),
        "tuned": {tuned_label(label): label for label in curves},
    }
    synthetic.write(root, cells, [synthetic.record(cell) for cell in cells], suite=suite)
    spaces = {label: [asdict(each) for each in space] for label, space in SPACES.items()}
    synthetic.write(
        root / "tuning",
        trials,
        records,
        suite=suite | {"name": "embedded-tuned-search", "spaces": spaces, "seeds": [100], "profile": False},
    )
    return root


def _best(trials: list[int], scores: list[float | None], n: int) -> list[int]:
    ranked = sorted((i for i in trials if scores[i] is not None), key=lambda i: -scores[i])
    return sorted(ranked[:n])


def _record(cell: Cell, score: float | None, before: float) -> Record:
    assert cell.stop is not None
    if score is None:
        return synthetic.record(cell, "failed", reason="the training loss is nan")
    changed = {
        "wall_seconds": 60 * (cell.stop - before),
        "resumed_from": math.ceil(before * STEPS) if before else None, "test": {}, "validation": {"accuracy": score},
        "data": DataUse(train=2000, steps=math.ceil(cell.stop * STEPS), validation=400),
    }  # fmt: skip
    return synthetic.record(cell, "trained").model_copy(update=changed)


def analysed(root: Path, **options) -> Analysis:
    return analyse(read(write(root / "results", **options)))


def said(part: Part) -> str:
    assert part.section is not None
    return plain(join([block.text for block in part.section.blocks if hasattr(block, "text")]))


@pytest.mark.parametrize("scores", [[0.3, 0.9, 0.5, 0.7], [0.5, 0.5, 0.9, 0.1], [-2.0, 3.0, 0.0], [0.8]])
def test_the_expected_best_is_the_mean_over_all_draws(scores: list[float]):
    """Every one of Nⁿ equally likely draws with replacement, one by one."""
    expected = expected_best(scores)
    assert len(expected) == len(scores)
    for n in range(1, len(scores) + 1):
        draws = [max(draw) for draw in itertools.product(scores, repeat=n)]
        assert expected[n - 1] == pytest.approx(sum(draws) / len(draws))


def test_what_a_search_took_and_found(tmp_path: Path):
    found = {each.search.label: each for each in analysed(tmp_path).tuned}
    lora, full = found["lora"], found["full"]
    assert (lora.chosen.number, full.chosen.number) == (5, 0)
    assert (lora.score, full.score) == pytest.approx((0.81, 0.80))
    # 32 of 189 steps for eight, 63 more for three, 94 more for two.
    assert lora.steps == 8 * 32 + 3 * 63 + 2 * 94
    assert lora.whole_steps == 8 * 189
    assert lora.share < 0.45
    assert lora.seconds == pytest.approx(60 * 8 * Tuning().cost)
    assert (lora.stopped, lora.failed) == (6, 0)
    assert (lora.at_edge, full.at_edge) == (False, True)
    assert lora.error == pytest.approx(math.sqrt(0.81 * 0.19 / 400))
    assert lora.missed is None and lora.hit is None
    # At the first rung: rates lie a factor of 1.8 apart, so that within one of 3 is one on either side.
    assert lora.fall == pytest.approx(0.68 - (0.70 + 0.60) / 2)
    assert lora.expected == pytest.approx(expected_best([scores[0] for scores in LORA]))


def test_held_against_all_trials_in_full(tmp_path: Path):
    late = [*LORA[:7], (0.50, 0.50, 0.85)]
    analysis = analysed(tmp_path, curves={"lora": late, "full": FULL}, full=True)
    found = {each.search.label: each for each in analysis.tuned}
    assert (found["lora"].missed, found["full"].missed) == (pytest.approx(0.04), 0)
    assert (found["lora"].hit, found["full"].hit) == (False, True)
    assert found["lora"].steps == 8 * 32 + 3 * 63 + 2 * 94
    assert found["lora"].expected[-1] == pytest.approx(expected_best([scores[2] for scores in late])[-1])


def test_a_failed_trial_counts_as_tried(tmp_path: Path):
    curves = {"lora": [*LORA[:7], (None, None, None)]}
    (lora,) = analysed(tmp_path, curves=curves).tuned
    assert (lora.failed, len(lora.scores), len(lora.expected)) == (1, 7, 8)
    assert lora.expected == pytest.approx(expected_best([0.5, *(scores[0] for scores in LORA[:7])]))


def test_the_report_says_what_was_searched_without_a_number_of_its_own(tmp_path: Path):
    analysis = analysed(tmp_path, full=True)
    part = tuning.part(analysis, OURS)
    text = said(part).replace("\u00a0", " ")
    assert "Each method had eight trials for its hyperparameters (lr), on rotten_tomatoes with seed 100, of" in text
    assert "the same places of their own ranges, on a logarithmic scale: those of Sobol's sequence" in text
    assert "the best go on, 3 after 17 % and 2 after 50 %" in text
    spent = 2 * (8 * 32 + 3 * 63 + 2 * 94)
    assert f"took {spent:,} optimiser steps, 42 % of what their 16 trials take to the end" in text
    assert "In one of two searches the best value was the lowest or the highest" in text
    assert "the search chose the best of them in two of two searches" in text
    spaces = next(block for block in part.section.blocks if getattr(block, "key", "") == "search-spaces")
    assert [[str(getattr(cell, "text", cell)) for cell in row.cells] for row in spaces.rows] == [
        ["full", "lr", "5e-6", "5e-4", "two decades around the default", "ours"],
        ["lora", "lr", "1e-4", "1e-2", "the paper used 2e-4", "Hu et al., 2022"],
    ]
    assert spaces.rows[1].cells[-1].key == "hu2022lora"
    table = next(block for block in part.section.blocks if getattr(block, "key", "") == "tuning")
    assert set(table.data["label"]) == {"lora", "full"}
    assert table.data.set_index("label")["missed"].to_dict() == {"lora": 0, "full": 0}


def test_figures_are_drawn_and_the_whole_document_holds_them(tmp_path: Path):
    analysis = analysed(tmp_path)
    (figure,) = drawing.figures(analysis)
    left, right = figure.draw(PAPER).axes
    line = left.get_lines()[0]
    assert list(line.get_xdata()) == list(range(1, 9))
    assert line.get_ydata() == pytest.approx([100 * value for value in analysis.tuned[0].expected])
    seconds = right.get_lines()[0].get_xdata()
    assert seconds[-1] == pytest.approx(analysis.tuned[0].seconds, rel=0.01)
    document = report.compose(analysis)
    assert {"tuning", "search-spaces"} <= {table.key for table in document.tables}
    trials = next(table for table in document.tables if table.key == "trials")
    assert len(trials.rows) == 16 and trials.data["chosen"].sum() == 2
    assert [str(getattr(cell, "text", cell)) for cell in trials.rows[8 + 5].cells] == [
        "lora", "2.37e-3", "100\u00a0%", "81.0", "chosen",
    ]  # fmt: skip
    assert "tuning" in {each.key for each in document.figures}


def test_default_and_tuned_are_two_entries(tmp_path: Path):
    analysis = analysed(tmp_path)
    results = analysis.results
    assert set(results.labels) == {"full", "full@tuned", "lora", "lora@tuned"}
    scores = next(table for table in report.compose(analysis).tables if table.key == "scores")
    assert {"lora", "lora@tuned"} <= set(scores.data["label"])
    assert "lora@tuned" in macros.numbers(analysis)
    # What is tuned is held against what is tuned, and is no sweep over rates.
    assert results.reference == "full@tuned"
    assert {contrast.label for contrast in analysis.contrasts} == {"full", "lora", "lora@tuned"}
    assert analysis.sweeps == [] and analysis.sensitivities == []


def test_claims_are_about_what_was_tuned(tmp_path: Path):
    claim = Claim("On par with full fine-tuning.", "hu2022lora", "score", "full", "at least", margin=0.01)
    root = write(tmp_path / "results")
    synthetic.with_claims(root, {"lora": [synthetic.to_plain(claim)]})
    (verdict,) = analyse(read(root)).verdicts
    assert (verdict.label, verdict.other, verdict.trials) == ("lora@tuned", "full@tuned", 8)
    assert "Its learning rate is the best of 8 on validation data." in caveats(verdict)


def test_the_ratio_of_best_rates_is_judged_where_both_were_searched(tmp_path: Path):
    """In these results LoRA's is 2.37e-3 and that of full fine-tuning 1.19e-4: twenty times."""
    claim = Claim("About ten times.", "hu2022lora", "best_lr", "full", "equal", factor=10, margin=2)
    half = replace(claim, margin=0.5)
    root = write(tmp_path / "results")
    synthetic.with_claims(root, {"lora": [synthetic.to_plain(claim), synthetic.to_plain(half)]})
    wide, narrow = analyse(read(root)).verdicts
    assert wide.effect == pytest.approx(RATES["lora"][5] / RATES["full"][5])
    assert (wide.verdict, narrow.verdict) == ("supported", "contradicted")
    path = root / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["suite"]["tuned"]
    path.write_text(json.dumps(manifest))
    verdict = analyse(read(root)).verdicts[0]
    assert verdict.verdict == "not testable here"
    assert verdict.reason == "The learning rate that the search found of lora was not measured."


def test_of_lists_that_vary_the_smaller_is_a_part_of_the_larger(tmp_path: Path):
    rng = np.random.default_rng(7)
    given = {
        "lora": (["query", "value"], 0.7),
        "lora@wide": (["value", "up", "query"], 0.8),
        "lora@up": (["down"], 0.9),
    }
    records = []
    for label, (targets, score) in given.items():
        for task in claims.TASKS:
            for seed in range(3):
                made = claims.configured(label, seed, task, 8, score + rng.normal(0, 0.002))
                cell = made.cell.model_copy(
                    update={"hyperparameters": made.cell.hyperparameters | {"targets": targets}}
                )
                records.append(made.model_copy(update={"cell": cell, "id": cell.id}))
    found = {
        v.label: v for v in claims.verdicts(tmp_path, [claims.claim(comparator="lora", varies="targets")], records)
    }
    assert (found["lora@wide"].verdict, found["lora@wide"].other) == ("supported", "lora")
    assert {found[label].verdict for label in ("lora", "lora@up")} == {"not testable here"}


def test_without_a_search_nothing_is_said(tmp_path: Path):
    root = write(tmp_path / "results")
    (root / "tuning" / "manifest.json").unlink()
    assert tuning.part(analyse(read(root)), OURS) == Part()


def test_a_folder_that_is_no_search_is_left_alone(tmp_path: Path):
    root = write(tmp_path / "results")
    path = root / "tuning" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["suite"]["tuning"] = {"trials": "many"}
    path.write_text(json.dumps(manifest))
    assert analyse(read(root)).tuned == []


def test_the_searchs_own_folder_has_a_report_too(tmp_path: Path):
    root = write(tmp_path / "results")
    analysis = analyse(read(root / "tuning"))
    assert {each.search.label for each in analysis.tuned} == {"lora", "full"}
    report.compose(analysis)
