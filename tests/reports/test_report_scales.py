"""Metrics of which less is better, in percent or without bounds: judged the right way round, written in their own unit,
averaged only with their like; scores that are undefined are counted and shown."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import synthetic_results as synthetic

from records.cards import Claim, Metric
from records.record import Record
from reports.analysis.analysis import analyse
from reports.analysis.claims import assess
from reports.analysis.comparison import compare
from reports.analysis.contrasts import Contrast
from reports.analysis.focus import focus
from reports.analysis.groups import ALL
from reports.build import build_report
from reports.drawing import fronts, tradeoff
from reports.drawing.theme import PAPER
from reports.model.claim_words import measured
from reports.model.prose import OURS, join, plain
from reports.model.topics import chosen
from reports.render import page_data
from reports.render.macros import numbers
from reports.results import Results, read
from reports.scales import Scale, may_be_averaged
from reports.sections import choices, comparison, differences, limitations, scores, setup, talk, unfinished
from reports.sections import report as document
from reports.sections.conclusion import conclusions

HARD, EASY = "rotten_tomatoes", "bbc_news"


def written(root: Path, change: Callable[[Record], dict[str, float]] | None, metric: Metric | None,
            tasks: tuple[str, ...] = (HARD, EASY), seeds: int = 6, **card: Any) -> Results:  # fmt: skip
    """Four methods with claims on `tasks`; every metric of the last task is `change` of the record's accuracy, and its
    card says how to read it."""
    cards: dict[str, dict] = {name: dict(synthetic.TASKS[name]) for name in tasks}
    if metric:
        cards[tasks[-1]] |= {"metrics": [metric.name], "scales": {metric.name: synthetic.to_plain(metric)}} | card
    methods = synthetic.method_cards()
    methods["lora"]["claims"] = [
        synthetic.to_plain(Claim("C.", "hu2022lora", "score", other, relation, margin=margin, factor=factor))
        for other in ("full", "head", "bitfit")
        for relation, margin, factor in (("higher", 0.0, 1.0), ("at least", 0.01, 1.0), ("equal", 0.01, 1.0),
                                         ("at least", 0.0, 0.95))
    ]  # fmt: skip
    methods["lora"]["claims"].append(synthetic.to_plain(Claim("S.", "hu2022lora", "score_spread", "full", "lower")))
    cells = synthetic.grid(("full", "head", "bitfit", "lora"), tasks, seeds)
    records = [changed(synthetic.record(cell), change if cell.task == tasks[-1] else None, metric) for cell in cells]
    plain = {"methods": methods, "tasks": cards, "backbones": synthetic.BACKBONES}
    return read(synthetic.write(root, cells, records, cards=plain))


def changed(record: Record, change: Callable | None, metric: Metric | None) -> Record:
    if change is None or metric is None:
        return record

    def of(scores: dict[str, float]) -> dict[str, float]:
        return {metric.name: change(scores["accuracy"])}

    history = [line.model_copy(update={"validation": of(line.validation)}) for line in record.history]
    return record.model_copy(update={"test": of(record.test), "validation": of(record.validation), "history": history})


ERRORS = Metric("error_rate", higher_is_better=False)
RMSE = Metric("rmse", higher_is_better=False, high=None)
PERCENT = Metric("accuracy_percent", high=100.0)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Results:
    return written(tmp_path_factory.mktemp("a") / "r", None, None)


@pytest.fixture(scope="module")
def errors(tmp_path_factory) -> Results:
    return written(tmp_path_factory.mktemp("b") / "r", lambda accuracy: 1 - accuracy, ERRORS)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Results:
    """Accuracy on one task, on the other a root mean squared error that falls as the accuracy rises."""
    return written(tmp_path_factory.mktemp("c") / "r", lambda accuracy: 12 * (1 - accuracy), RMSE)


def judged(results: Results) -> dict[str, Any]:
    """Whatever the report decides by scores."""
    found = analyse(results)
    return {
        "front": [(p.task, p.label) for p in found.tradeoff[synthetic.BACKBONE] if p.on_front],
        "tests": [(d.task, d.label, d.comparison.p, *_decided(d)) for d in found.contrasts],
        "verdicts": [(v.claim.comparator, v.claim.relation, v.verdict, v.effect, v.low, v.p) for v in found.verdicts],
    }


def _decided(contrast: Contrast) -> tuple[Any, ...]:
    """Word, p-values and ends of each decision."""
    return tuple(x for d in contrast.decisions for x in (d.word, d.difference, d.equivalence, *d.interval))


def test_an_error_rate_is_judged_as_the_accuracy_that_it_is_short_of(usual: Results, errors: Results):
    one, other = judged(usual), judged(errors)
    assert one["front"] == other["front"]
    for name in ("tests", "verdicts"):
        assert len(one[name]) == len(other[name])
        for a, b in zip(one[name], other[name], strict=True):
            assert [x for x in a if isinstance(x, str)] == [x for x in b if isinstance(x, str)]
            numbers = [[x for x in pair if isinstance(x, float)] for pair in (a, b)]
            assert numbers[1] == pytest.approx(numbers[0], rel=1e-6, abs=1e-9)
    assert {v[2] for v in one["verdicts"]} >= {"supported", "contradicted"}


def test_the_best_on_a_task_is_the_one_with_the_least_error(errors: Results, mixed: Results):
    for results, unit in ((errors, 100), (mixed, 1)):
        validation = results.cells[(results.cells["task"] == EASY)]
        means = {
            label: -validation[validation["label"] == label]["validation_score"].mean() for label in results.labels
        }
        best = min((label for label in means if label != "full"), key=means.__getitem__)
        said = plain(join(conclusions(analyse(results))))
        assert "highest" not in said
        assert best in said
        found = analyse(results)
        text = plain(join(scores.sentences(found, found.scores[0])))
        raw = {label: _mean(results, label, EASY) for label in results.labels}
        worst = max(raw, key=raw.__getitem__)
        digits = 1 if unit == 100 else results.scale(EASY).decimals
        assert f"runs from {unit * raw[worst]:.{digits}f} ({worst}) to {unit * min(raw.values()):.{digits}f}" in text
        assert "of which less is better" in text


def _mean(results: Results, label: str, task: str) -> float:
    """From the files alone."""
    values = []
    for path in results.root.glob("cells/*/record.json"):
        record = json.loads(path.read_text())
        if (record["cell"]["label"], record["cell"]["task"]) == (label, task):
            values.append(next(iter(record["test"].values())))
    return statistics.mean(values)


def test_tables_and_macros_have_the_metrics_own_sign_and_unit(mixed: Results):
    [table] = scores.tables(analyse(mixed))
    tex, said = numbers(analyse(mixed)), "".join(piece for piece in table.caption if isinstance(piece, str))
    assert f"in points, but on {EASY} rmse (less is better)" in said
    for row in table.rows:
        label, hard, easy = row.cells
        assert hard.text == f"{100 * _mean(mixed, label, HARD):.1f}"
        assert float(easy.text) == pytest.approx(_mean(mixed, label, EASY), abs=0.5 * 10 ** -mixed.scale(EASY).decimals)
        assert easy.value == pytest.approx(_mean(mixed, label, EASY))
        assert f"\\benchdefine{{mean||{label}|{EASY}}}{{{easy.text}}}" in tex
    csv = table.data.set_index(["label", "task"])["mean"]
    assert csv["head", EASY] == pytest.approx(_mean(mixed, "head", EASY))
    [table] = differences.tables(analyse(mixed))
    head = next(row for row in table.rows if row.cells[0] == "head")
    gap = _mean(mixed, "head", EASY) - _mean(mixed, "full", EASY)
    assert gap > 0
    assert head.cells[3].value == pytest.approx(gap)
    assert head.cells[3].text.startswith("+")
    assert f"below zero is better on {EASY}" in "".join(piece for piece in table.caption if isinstance(piece, str))


def test_the_test_of_a_difference_says_whether_it_is_for_the_better(mixed: Results):
    text = plain(join(differences.sentences(analyse(mixed))))
    assert f"head on {EASY} (+" in text
    assert "Worse with other seeds on these examples: " in text
    assert "Better" not in text


@pytest.mark.parametrize(("metric", "factor"), [(PERCENT, 100.0), (Metric("bleu", high=100.0), 100.0)])
def test_a_metric_in_percent_is_shown_as_it_is(tmp_path: Path, metric: Metric, factor: float):
    results = written(tmp_path / "r", lambda accuracy: factor * accuracy, metric, (EASY,), seeds=2)
    [table] = scores.tables(analyse(results))
    row = next(row for row in table.rows if row.cells[0] == "lora")
    assert row.cells[1].text == f"{_mean(results, 'lora', EASY):.1f}"
    assert 50 < float(row.cells[1].text) < 100
    assert "points" not in "".join(piece for piece in table.caption if isinstance(piece, str))


def test_only_what_is_alike_is_averaged(mixed: Results, errors: Results):
    error, rmse = (Scale(Metric("error", higher_is_better=False, high=high)) for high in (1.0, None))
    plain = Scale()
    assert may_be_averaged({"a": plain, "b": rmse}) == ("a",)
    assert may_be_averaged({"a": plain, "b": error, "c": plain}) == ("a", "c")
    assert may_be_averaged({"a": error, "b": error}) == ("a", "b")
    assert may_be_averaged({"a": rmse, "b": rmse}) == ()
    assert may_be_averaged({"a": rmse}) == ("a",)
    [figure] = fronts.figures(analyse(mixed))
    assert f"Mean test score on {HARD} against" in figure.caption[0]
    assert f"Left out of the mean, as no fractions of which more is better: {EASY} (rmse)" in figure.caption[0]
    [table] = choices.tables(analyse(mixed))
    first = table.data[table.data["constraint"] == "none"].iloc[0]
    assert first["test"] == pytest.approx(_mean(mixed, first["label"], HARD))
    overview = page_data.overview(mixed)
    means = [g for g in overview["groups"] if g["task"] == ALL]
    lora = next(g for g in means if overview["labels"][g["label"]]["name"] == "lora")
    assert lora["values"]["score"][0] == pytest.approx(_mean(mixed, "lora", HARD))


def test_the_page_has_raw_values_and_which_way_is_better(mixed: Results):
    overview = page_data.overview(mixed)
    assert [task["scales"] for task in overview["tasks"]][1] == {
        "rmse": {"kind": f"places:{mixed.scale(EASY).decimals}", "better": "lower"}
    }
    assert min(value for value in overview["columns"]["score"] if value is not None) > 0


def test_a_claim_on_scores_needs_a_fraction(tmp_path: Path, mixed: Results):
    alone = written(tmp_path / "r", lambda accuracy: 12 * (1 - accuracy), RMSE, (EASY,))
    about_scores = [v for v in assess(alone) if v.claim.measure == "score"]
    assert {v.verdict for v in about_scores} == {"not testable here"}
    assert all("bbc_news by rmse" in measured(v) for v in about_scores)
    assert {v.n for v in assess(mixed) if v.claim.measure == "score"} == {6}  # of one task's seeds


def test_the_configuration_that_stands_for_a_family_is_the_one_with_the_least_error(tmp_path: Path):
    cells = [synthetic.cell("full", EASY, 0)]
    for i in range(14):
        cell = synthetic.cell("lora", EASY, 0, label=f"lora@{i}")
        cells.append(cell.model_copy(update={"hyperparameters": cell.hyperparameters | {"rank": i}}))
    records = [changed(synthetic.record(cell, score=0.5 + 0.01 * ((7 * i) % 15)), lambda a: 9 * (1 - a), RMSE)
               for i, cell in enumerate(cells)]  # fmt: skip
    errors = {r.cell.label: r.validation["rmse"] for r in records if r.cell.method == "lora"}
    card = dict(synthetic.TASKS[EASY]) | {"metrics": ["rmse"], "scales": {"rmse": synthetic.to_plain(RMSE)}}
    cards = {"methods": synthetic.method_cards(), "tasks": {EASY: card}, "backbones": synthetic.BACKBONES}
    results = read(synthetic.write(tmp_path / "r", cells, records, cards=cards))
    view = focus(results, chosen("adapters"))
    assert set(view.labels) == {"full", min(errors, key=errors.__getitem__)}


def test_two_runs_are_compared_in_the_metrics_own_sign(tmp_path: Path, mixed: Results):
    worse = written(tmp_path / "r", lambda accuracy: 12 * (1 - accuracy) + 0.5, RMSE)
    made = comparison.compose(compare(mixed, worse))
    data = next(t for t in made.tables if t.key == "compared-scores").data
    assert data[data["task"] == EASY]["difference"].tolist() == pytest.approx([0.5] * 4)
    old = written(tmp_path / "old", None, None)
    found = compare(mixed, old)
    warned = comparison.warnings(found.changes)
    assert any(f"the scores of {EASY} are read differently" in line for line in warned)
    data = next(t for t in comparison.compose(found).tables if t.key == "compared-scores").data
    assert set(data["task"]) == {HARD}


def test_what_was_assumed_of_a_metric_is_said(tmp_path: Path):
    ratio = Metric("ratio")
    results = written(tmp_path / "r", lambda accuracy: 3 * accuracy, ratio, (EASY,), seeds=2, assumed=["ratio"])
    said = " ".join(plain(join(limit.sentences)) for limit in limitations.limits(analyse(results)))
    assert "“ratio” of bbc_news was taken as a fraction of which more is better" in said
    assert "Eight scores of bbc_news lie outside of the range of ratio" in said


def test_slides_and_the_whole_document_hold_no_negative_of_an_error(mixed: Results):
    analysis = analyse(mixed)
    made = document.compose(analysis)
    shown = [cell.text for table in made.tables if table.key.startswith(("scores", "all-scores"))
             for row in table.rows for cell in row.cells[1:]]  # fmt: skip
    assert shown
    assert not [text for text in shown if text.startswith("−")]
    assert talk.compose(analysis).slides
    [axes] = [a for a in tradeoff.figures(analysis)[0].draw(PAPER).axes if "rmse" in a.get_title(loc="left")]
    assert axes.yaxis_inverted()
    assert min(axes.get_ylim()) > 0


@pytest.mark.parametrize(
    "value", [math.nan, *(pytest.param(value, marks=pytest.mark.exhaustive) for value in (math.inf, -math.inf))]
)
def test_undefined_scores_are_shown_and_counted(tmp_path: Path, value: float):
    cells = synthetic.grid(("full", "lora", "bitfit"), (EASY,), 3)
    records = []
    for cell in cells:
        record = synthetic.record(cell)
        if cell.label == "bitfit" or (cell.label, cell.seed) == ("lora", 1):
            test = {"accuracy": value, "macro_f1": 0.5}
            history = [line.model_copy(update={"validation": test}) for line in record.history]
            record = record.model_copy(update={"test": test, "validation": test, "history": history})
        records.append(record)
    root = synthetic.write(tmp_path / "r", cells, records)
    results = read(root)
    [table] = scores.tables(analyse(results))
    rows = {row.cells[0]: row.cells[1] for row in table.rows}
    assert rows["bitfit"] == "undefined"
    assert rows["lora"].note == "2"
    assert "4 undefined" in table.caption[0]
    [missing] = unfinished.tables(results)
    assert sorted(zip(missing.data["label"], missing.data["seeds"], missing.data["status"], strict=True)) == [
        ("bitfit", "0, 1, 2", "undefined"), ("lora", "1", "undefined"),
    ]  # fmt: skip
    assert "accuracy, is " + ("not a number" if math.isnan(value) else "infinite") in missing.rows[0].cells[-1]
    assert "\\benchdefine{score||bitfit|bbc_news}{undefined}" in numbers(analyse(results))
    assert "\\benchdefine{n||lora|bbc_news}{2}" in numbers(analyse(results))
    assert "undefined" in page_data.overview(results)["statuses"]
    built = build_report(root, tmp_path / "out")
    page = built.page.read_text()
    assert '"undefined"' in page
    assert "4 of 9 cells have no score" in (tmp_path / "out/report.tex").read_text()
    assert built.pdf is not None or "latexmk" in built.lines[-1]


def test_a_broken_record_is_shown_with_its_reason(tmp_path: Path):
    cells = synthetic.grid(("full", "lora"), (EASY,), 2)
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(each) for each in cells])
    [ruined] = [each.id for each in cells if (each.label, each.seed) == ("lora", 1)]
    (root / "cells" / ruined / "record.json").write_text("{")
    results = read(root)
    [missing] = unfinished.tables(results)
    [[label, status, reason]] = missing.data[["label", "status", "reason"]].to_numpy().tolist()
    assert (label, status) == ("lora", "broken") and "not a record" in reason
    assert "broken (the record cannot be read)" in missing.caption[0]
    assert "broken" in page_data.overview(results)["statuses"]
    assert "1 broken" in plain(join(unfinished.told(results)))


def test_rows_and_tokens_that_were_left_out_are_said(tmp_path: Path):
    cells = synthetic.grid(("full",), (EASY,), 1)
    [record] = [synthetic.record(cell) for cell in cells]
    lost = {"dropped": {"the same text twice": 1234, "one text with two labels": 5}, "duplicates_removed": 7,
            "unknown_tokens": 0.0312, "unasked": 3}  # fmt: skip
    record = record.model_copy(update={"data": record.data.model_copy(update=lost)})
    results = read(synthetic.write(tmp_path / "r", cells, [record]))
    blocks = setup.part(analyse(results), OURS).section.blocks
    said = " ".join("".join(map(str, b.text)) for b in blocks if hasattr(b, "text"))
    assert "in no split: 1,234 (the same text twice) and 5 (one text with two labels)." in said
    assert "7 training or validation examples were left out" in said
    assert "3.1\u00a0% of the training texts' tokens are unknown" in said
    assert "Up to 3 of 1,000 test examples could not be put to a model" in said
    [budget] = [b for b in blocks if getattr(b, "key", "") == "budget"]
    assert isinstance(budget.data, pd.DataFrame)
    assert budget.data["unasked"].tolist() == [3]
