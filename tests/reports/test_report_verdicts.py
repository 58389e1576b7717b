"""Verdicts in report, talk, page and macros, from folders with predictions, with some, and with none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic_results as synthetic
from scipy import stats

from records.cards import Claim, Metric
from records.predictions import RESAMPLES, Predictions, to_bytes
from records.store import RecordStore
from reports.analysis.analysis import Analysis, analyse
from reports.analysis.claims import Verdict
from reports.model.claim_words import measured
from reports.model.document import Table
from reports.model.prose import join, plain
from reports.model.verdict_words import needed
from reports.render.macros import numbers
from reports.results import read
from reports.sections import abstract, conclusion, differences, limitations
from reports.sections.rows import Cell

TASK = "rotten_tomatoes"


def folder(root: Path, methods: tuple[str, ...] = ("full", "lora", "bitfit", "head"), seeds: int = 3) -> Path:
    cells = synthetic.grid(methods, seeds=seeds)
    return synthetic.write(root, cells, [synthetic.record(cell) for cell in cells])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three seeds and 500 examples."""
    return analyse(read(synthetic.keep_answers(folder(tmp_path_factory.mktemp("three") / "results"))))


def told(analysis: Analysis) -> str:
    return plain(join(differences.sentences(analysis)))


def everything(analysis: Analysis) -> str:
    parts = [abstract.text(analysis), *conclusion.conclusions(analysis), *differences.sentences(analysis)]
    parts += [text for limit in limitations.limits(analysis) for text in limit.sentences]
    return plain(join(parts)) + " ".join(plain(table.caption) for table in differences.tables(analysis))


def test_every_pair_of_three_seeds_has_a_verdict_with_its_population(three: Analysis):
    assert len(three.contrasts) == 6
    for contrast in three.contrasts:
        assert [each.population for each in contrast.decisions] == ["examples and seeds", "examples"]
    words = {(c.label, c.task): (c.decision.word, c.decision.population) for c in three.contrasts if c.decision}
    assert words["head", TASK] == ("worse", "examples and seeds")  # by twenty points
    assert "too few" not in everything(three) and "not tested" not in everything(three)


def test_one_seed_gives_verdicts_about_these_models(tmp_path: Path):
    found = analyse(read(synthetic.keep_answers(folder(tmp_path / "r", seeds=1))))
    assert {each.population for c in found.contrasts for each in c.decisions} == {"examples"}
    for contrast in found.contrasts:
        kept = found.outcomes[contrast.backbone, contrast.task].scores
        a, b = kept[contrast.label][0], kept["full"][0]
        assert contrast.decisions[0].interval == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval()))
        assert contrast.decisions[0].seeds is None
    assert "Worse for these models on other examples: head on rotten_tomatoes" in told(found)
    assert "more seeds" not in told(found)
    assert "another seed may reverse it" in everything(found)


def test_verdicts_stand_in_sentences_table_data_and_macros(three: Analysis):
    table, *_ = differences.tables(three)
    assert [column.title for column in table.columns] == ["Method", *("difference", "verdict") * 2]
    macros = numbers(three)
    lines = table.data.set_index(["label", "task"])
    rows = {row.cells[0]: row.cells for row in table.rows}
    for contrast in three.contrasts:
        decision = contrast.decision
        assert decision is not None
        place = 2 + 2 * three.results.tasks.index(contrast.task)
        mark = "†" if decision.population == "examples" else ""
        assert rows[contrast.label][place] == decision.word + mark
        line = lines.loc[(contrast.label, contrast.task)]
        assert (line["verdict"], line["population"]) == (decision.word, decision.population)
        assert (line["low"], line["high"]) == pytest.approx(decision.interval)
        assert f"\\benchdefine{{verdict||{contrast.label}|{contrast.task}}}{{{decision.word}}}" in macros
    assert r"\benchdefine{population||head|rotten_tomatoes}{on other examples and seeds}" in macros
    for text in (told(three), plain(abstract.text(three)), plain(join(conclusion.conclusions(three)))):
        assert "orse on other examples and seeds" in text


def undecided_table(analysis: Analysis) -> Table:
    return next(table for table in differences.tables(analysis) if table.key == "undecided")


def test_what_would_decide_is_told(three: Analysis):
    """Of those also that are decided for these models alone."""
    planned = three.tested.planned
    assert planned
    rows = undecided_table(three).rows
    assert len(rows) == len(planned)
    for (contrast, decision), row in zip(planned, rows, strict=True):
        assert decision is contrast.decisions[0] and decision.word == "undecided"
        shown: tuple[Cell, ...] = row.cells
        assert shown[:2] == (contrast.label, contrast.task)
        assert shown[4] == (None if decision.seeds is None else f"{decision.seeds:,}")
    nearest, decision = planned[0]
    assert decision.seeds == min(each.seeds for _, each in planned if each.seeds)
    assert f"the nearest, {nearest.label} on {nearest.task}, {needed(decision)}" in told(three)


def test_the_margin_of_the_suite_is_the_one_that_counts(tmp_path: Path):
    root = synthetic.keep_answers(folder(tmp_path / "r"), alike=0.95)
    found = analyse(read(root))
    store = RecordStore(root)
    manifest = store.manifest()
    store.write_manifest(manifest.model_copy(update={"suite": manifest.suite | {"margin": 30}}))
    wide = analyse(read(root))
    assert {c.decisions[1].word for c in wide.contrasts} == {"practically equal"}
    assert {c.decisions[1].word for c in found.contrasts} != {"practically equal"}
    assert "within 30 points" in everything(wide) and "(within 1 point)" in everything(found)


def test_without_predictions_three_seeds_are_not_tested(tmp_path: Path):
    found = analyse(read(folder(tmp_path / "r")))
    assert all(contrast.decision is None for contrast in found.contrasts)
    assert "With three seeds in common, and no predictions kept, we test none" in told(found)
    assert [table.key for table in differences.tables(found)] == ["differences"]
    assert r"\benchdefine{verdict||head|rotten_tomatoes}{not tested}" in numbers(found)


def test_without_predictions_six_seeds_decide_about_other_seeds_alone(tmp_path: Path):
    found = analyse(read(folder(tmp_path / "r", seeds=6)))
    for contrast in found.contrasts:
        (decision,) = contrast.decisions
        assert decision.population == "seeds"
        scores = [found.scored.cells(contrast.backbone, contrast.task, label) for label in (contrast.label, "full")]
        expected = stats.ttest_rel(*(cells.sort_values("seed")["score"] for cells in scores))
        assert contrast.comparison.p == pytest.approx(expected.pvalue)
        assert decision.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert "with other seeds on these examples" in told(found)


def test_a_pair_of_which_predictions_are_lacking_is_told_apart(tmp_path: Path):
    """As in a folder that was begun by an older version."""
    root = synthetic.keep_answers(folder(tmp_path / "r"))
    for path in root.glob("cells/*/predictions.parquet"):
        if '"label": "lora"' in (path.parent / "record.json").read_text():
            path.unlink()
    found = analyse(read(root))
    assert {c.label for c in found.contrasts if c.decision is None} == {"lora"}
    assert "two not tested" in told(found)
    assert "fewer than 5 seeds are not tested (–)" in everything(found)


def test_a_metric_that_is_no_mean_is_judged_by_its_draws(tmp_path: Path):
    """With draws of an accuracy, verdicts are nearly those of its examples."""
    root = synthetic.keep_answers(folder(tmp_path / "r"))
    by_example = analyse(read(root))
    store = RecordStore(root)
    chosen = np.random.default_rng(0).integers(500, size=(RESAMPLES, 500))
    for record in list(store.records()):
        kept = store.predictions(record)
        assert kept is not None
        right = np.array(kept.scores["accuracy"])
        drawn = {"accuracy": right[chosen].mean(axis=1).tolist()}
        changed = Predictions(kept.kind, kept.examples, kept.predictions, kept.references, resampled=drawn)
        digest = store.keep(record.id, "predictions.parquet", to_bytes(changed))
        store.write(record.model_copy(update={"kept": {"predictions.parquet": digest}}))
    by_draw = analyse(read(root))
    for one, other in zip(by_example.contrasts, by_draw.contrasts, strict=True):
        for a, b in zip(one.decisions, other.decisions, strict=True):
            assert a.effect == pytest.approx(b.effect)
            assert b.interval == pytest.approx(a.interval, abs=0.25 * (a.interval[1] - a.interval[0]))


def test_values_that_are_no_numbers_are_not_tested_by_example(tmp_path: Path):
    root = synthetic.keep_answers(folder(tmp_path / "r", ("full", "lora")))
    store = RecordStore(root)
    record = next(store.records())
    kept = store.predictions(record)
    assert kept is not None
    kept.scores["accuracy"][0] = float("nan")
    digest = store.keep(record.id, "predictions.parquet", to_bytes(kept))
    store.write(record.model_copy(update={"kept": {"predictions.parquet": digest}}))
    found = analyse(read(root))
    assert {c.task for c in found.contrasts if c.decision is None} == {record.cell.task}


def test_from_five_tasks_on_verdicts_are_about_other_tasks_too(tmp_path: Path):
    tasks = [f"task{i}" for i in range(6)]
    cells = [synthetic.cell(m, task, seed) for m in ("full", "lora", "head") for task in tasks for seed in (0, 1)]
    base = {"full": 0.9, "lora": 0.895, "head": 0.7}
    scores = {c.id: base[c.method] + 0.01 * (int(c.task[-1]) % 3) * (c.method != "full") for c in cells}
    cards = {
        "methods": synthetic.method_cards(),
        "tasks": {task: synthetic.TASKS[TASK] | {"name": task} for task in tasks},
        "backbones": synthetic.BACKBONES,
    }
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(c, score=scores[c.id]) for c in cells], cards=cards)
    found = analyse(read(root))
    assert {(each.label, each.decision.word) for each in found.over_tasks} == {("lora", "undecided"), ("head", "worse")}
    assert "are: one worse on other tasks, one undecided (head is worse)." in told(found)
    head = next(each for each in found.over_tasks if each.label == "head")
    gaps = [-0.2 + 0.01 * (i % 3) for i in range(6)]
    assert head.decision.interval == pytest.approx(tuple(stats.ttest_1samp(gaps, 0).confidence_interval()))


def test_verdicts_of_an_error_rate_are_those_of_the_accuracy_that_it_is_short_of(tmp_path: Path):
    cells = synthetic.grid(("full", "lora", "head"), [TASK])
    error = synthetic.to_plain(Metric("error", higher_is_better=False))
    roots = []
    for name, card, turn in (
        ("accuracy", {}, lambda value: value),
        ("error", {"metrics": ["error"], "scales": {"error": error}}, lambda value: 1 - value),
    ):
        root = synthetic.write(tmp_path / name, cells, [synthetic.record(cell) for cell in cells])
        synthetic.keep_answers(root)
        store = RecordStore(root)
        for record in list(store.records()):
            kept = store.predictions(record)
            assert kept is not None
            values = [turn(value) for value in kept.scores.pop("accuracy")]
            kept.scores[name] = values
            digest = store.keep(record.id, "predictions.parquet", to_bytes(kept))
            update = {"kept": {"predictions.parquet": digest}, "test": {name: float(np.mean(values))}}
            store.write(record.model_copy(update={**update, "validation": {}, "history": []}))
        manifest = json.loads((root / "manifest.json").read_text())
        manifest["cards"]["tasks"][TASK] |= card
        (root / "manifest.json").write_text(json.dumps(manifest))
        roots.append(analyse(read(root)))
    one, other = ([d for c in found.contrasts for d in c.decisions] for found in roots)
    assert [d.word for d in one] == [d.word for d in other]
    for a, b in zip(one, other, strict=True):
        assert (a.effect, *a.interval) == pytest.approx((b.effect, *b.interval))
    lines = pd.concat([differences.tables(found)[0].data for found in roots])
    assert (np.sign(lines["mean"]).tolist())[: len(lines) // 2] == (-np.sign(lines["mean"])).tolist()[len(lines) // 2 :]


def claimed(root: Path, **options: Any) -> tuple[Analysis, Verdict]:
    claim = Claim("LoRA beats the head.", "hu2022lora", "score", "head", "higher", **options)
    synthetic.with_claims(root, {"lora": [synthetic.to_plain(claim)]})
    found = analyse(read(root))
    [verdict] = found.verdicts
    return found, verdict


def test_a_claim_on_scores_is_tested_on_other_examples_too(tmp_path: Path):
    """By the sum of what each task adds: squares of Student's quantiles, times the parts of the variance."""
    found, verdict = claimed(synthetic.keep_answers(folder(tmp_path / "r", ("full", "lora", "head"))))
    assert (verdict.verdict, verdict.population, verdict.n) == ("supported", "examples and seeds", 6)
    squared, means, floor = 0.0, [], 0.0
    for outcomes in found.outcomes.values():
        own, theirs = (np.stack([outcomes.scores[label][seed] for seed in range(3)]) for label in ("lora", "head"))
        d = own - theirs
        rest = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()
        seeds, examples = d.mean(axis=1).var(ddof=1) / 3, d.mean(axis=0).var(ddof=1) / 500
        shared = max(0.0, examples - (rest**2).sum() / (2 * 499 * 1500))
        squared += stats.t.isf(0.05, 2) ** 2 * seeds / 4 + stats.t.isf(0.05, 499) ** 2 * shared / 4
        floor += stats.t.isf(0.05, 499) ** 2 * examples / 4
        means.append(d.mean())
    reach = np.sqrt(max(squared, floor))
    assert verdict.effect == pytest.approx(100 * np.mean(means))
    assert (verdict.low, verdict.high) == pytest.approx(
        (100 * (np.mean(means) - reach), 100 * (np.mean(means) + reach))
    )
    assert "tested on other examples and seeds" in measured(verdict)


def test_a_claim_on_one_task_and_one_seed_is_tested_for_these_models(tmp_path: Path):
    cells = synthetic.grid(("full", "lora", "head"), [TASK], seeds=1)
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(cell) for cell in cells])
    _, without = claimed(root)
    assert (without.verdict, without.untested, without.population) == ("inconclusive", "few", None)
    found, verdict = claimed(synthetic.keep_answers(root))
    assert (verdict.verdict, verdict.population, verdict.untested) == ("supported", "examples", "")
    [outcomes] = found.outcomes.values()
    expected = stats.ttest_rel(outcomes.scores["lora"][0], outcomes.scores["head"][0], alternative="greater")
    assert verdict.p == pytest.approx(expected.pvalue)


def test_a_claim_keeps_to_seeds_where_a_cell_has_kept_nothing(tmp_path: Path):
    root = synthetic.keep_answers(folder(tmp_path / "r", ("full", "lora", "head")))
    lora = next(cell for cell in read(root).manifest.cells.values() if cell.label == "lora")
    (root / "cells" / lora.id / "predictions.parquet").unlink()
    _, verdict = claimed(root)
    assert verdict.population is None and verdict.n == 6


def test_a_share_of_a_score_is_a_share_of_what_is_right_whatever_the_sign(tmp_path: Path):
    _, verdict = claimed(synthetic.keep_answers(folder(tmp_path / "r", ("full", "lora", "head"))), factor=0.5)
    scores = read(tmp_path / "r").cells.groupby("label")["score"].mean()
    assert verdict.effect == pytest.approx(100 * (scores["lora"] - 0.5 * scores["head"]))
