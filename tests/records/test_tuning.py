"""Searches as their records tell them: which trials go on, which is chosen, and what was spent."""

from __future__ import annotations

import itertools
import math

import pytest
from pydantic import ValidationError

from records.cards import Cards, Range, TaskCard
from records.cell import Budget, Cell
from records.record import DataUse, Evaluation, Record
from records.tuning import Search, Tuning, searches, tuned_label

TASK = TaskCard("colours", "", "classification", ("accuracy",), "", "", "", "")
SPACE = {"lora": (Range("lr", 1e-4, 1e-2, ""),)}
STEPS = 60


def cell(lr: float, rung: float, seed: int = 100) -> Cell:
    return Cell(
        backbone="b", backbone_revision="1", method="lora", label="lora", hyperparameters={"lr": lr, "rank": 8},
        method_revision="1", task="colours", task_revision="1", seed=seed, precision="no", budget=Budget(), stop=rung,
    )  # fmt: skip


def record(of: Cell, score: float | None, loss: float = 0.5, **changed) -> Record:
    """Without a score: a trial that diverged."""
    assert of.stop is not None
    steps = math.ceil(of.stop * STEPS)
    line = Evaluation(step=steps, phase="tune", train_loss=1, validation_loss=loss, validation={"accuracy": score or 0})
    given = {
        "id": of.id, "cell": of, "status": "failed" if score is None else "trained", "started": "", "finished": "",
        "reason": "the training loss is nan" if score is None else None, "wall_seconds": 10 * of.stop,
        "validation": {} if score is None else {"accuracy": score}, "history": [] if score is None else [line],
        "best_step": steps, "data": None if score is None else DataUse(steps=steps, validation=400),
    }  # fmt: skip
    return Record(**given | changed)


def search(tuning: Tuning, curves: list[list[float | None]], full: bool = False) -> Search:
    """The search of trials of which each has a score at each rung that it would reach; with `full`, of all of them as
    far as they go."""
    rates = [1e-4 * 1.5**i for i in range(len(curves))]
    cells = {c.id: c for rung in tuning.rungs for lr in rates if (c := cell(lr, rung))}
    records: dict[str, Record] = {}
    for index, rung in enumerate(tuning.rungs):
        (found,) = searches(tuning, SPACE, Cards(tasks={"colours": TASK}), cells, records)
        reached = found.rungs[index] if index < len(found.rungs) else ()
        for number in range(len(curves)) if full else [trial.number for trial in reached]:
            if index < len(curves[number]):
                own = cell(rates[number], rung)
                before = math.ceil(tuning.rungs[index - 1] * STEPS) if index else None
                took = 10 * tuning.rungs[index - 1] if index else 0
                score = curves[number][index]
                records[own.id] = record(own, score, resumed_from=before, wall_seconds=10 * rung - took)
    (found,) = searches(tuning, SPACE, Cards(tasks={"colours": TASK}), cells, records)
    return found


def test_the_best_of_each_rung_go_on_and_the_best_at_the_end_is_chosen():
    curves = [[i / 10, i / 10 + 0.05, 0.5] for i in range(8)]
    curves[5][2] = 0.9
    curves[7][2] = 0.8
    found = search(Tuning(), curves)
    assert [[trial.number for trial in rung] for rung in found.rungs] == [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5], [7, 6]]
    # What was best of all at the end was third in the middle, and stopped there.
    assert found.chosen is not None and found.chosen.number == 7
    assert (found.stopped(found.trials[0]), found.stopped(found.trials[5]), found.stopped(found.trials[6])) == (
        0.1667, 0.5, 1.0,
    )  # fmt: skip


@pytest.mark.parametrize("order", itertools.islice(itertools.permutations(range(8)), 0, 40_000, 1999))
def test_where_the_order_stays_the_search_finds_the_best_of_all(order: tuple[int, ...]):
    found = search(Tuning(), [[score / 10] * 3 for score in order])
    assert found.chosen is not None and found.chosen.number == order.index(7)


def test_eight_trials_cost_at_most_45_percent_of_eight_whole_ones():
    """Eight to a sixth of the steps, three on to the half, two to the end: (8/6 + 3/3 + 2/2) / 8."""
    assert Tuning().counts == (8, 3, 2)
    assert Tuning().cost == pytest.approx((8 / 6 + 3 / 3 + 2 / 2) / 8, abs=1e-3)
    found = search(Tuning(), [[i / 10] * 3 for i in range(8)])
    # Whole steps, of which a share is rounded up: 11, 19 more, 30 more.
    assert found.spent == (8 * 11 + 3 * 19 + 2 * 30, pytest.approx(8 * 1.667 + 3 * 3.333 + 2 * 5))
    assert found.spent[0] <= 0.45 * 8 * STEPS


def test_what_did_not_go_on_from_the_rung_before_was_paid_again():
    tuning = Tuning(trials=2, rungs=(0.5, 1.0), kept=(0.5,))
    first, second, end = cell(1e-3, 0.5), cell(2e-3, 0.5), cell(1e-3, 1.0)
    cells = {each.id: each for each in (first, second, end, cell(2e-3, 1.0))}

    def spent(**resumed) -> tuple[int, float]:
        records = [record(first, 0.8), record(second, 0.7), record(end, 0.9, **resumed)]
        return searches(tuning, SPACE, Cards(tasks={"colours": TASK}), cells, {r.id: r for r in records})[0].spent

    assert spent() == (30 + 30 + 60, pytest.approx(5 + 5 + 10))
    assert spent(resumed_from=30, wall_seconds=6) == (30 + 30 + 30, pytest.approx(5 + 5 + 6))
    # Cut off once more on its way: what it had done since the rung counts.
    assert spent(resumed_from=45, earlier_seconds=3, wall_seconds=3) == (30 + 30 + 30, pytest.approx(5 + 5 + 6))


def test_a_trial_that_failed_was_tried_and_cannot_win():
    curves: list[list[float | None]] = [[None]] * 6 + [[0.1, 0.1, 0.1], [0.2, None]]
    found = search(Tuning(), curves)
    assert len(found.trials) == 8
    assert [[trial.number for trial in rung] for rung in found.rungs] == [list(range(8)), [7, 6], [6]]
    assert found.chosen is not None and found.chosen.number == 6
    assert found.trials[0].at(0.1667).reason == "the training loss is nan"


def test_where_all_failed_nothing_is_chosen_and_the_search_has_ended():
    found = search(Tuning(), [[None]] * 8)
    assert found.finished and found.chosen is None and found.in_full == []


def test_an_undefined_score_cannot_win():
    found = search(Tuning(trials=2, rungs=(1.0,), kept=()), [[math.nan], [0.1]])
    assert found.chosen is not None and found.chosen.number == 1


def test_a_rung_that_is_not_done_opens_no_next_one():
    found = search(Tuning(), [[0.5, 0.5, 0.5]] * 7 + [[]])
    assert len(found.rungs) == 1 and not found.finished and found.chosen is None


def test_equal_scores_are_told_apart_by_the_loss_and_then_by_the_order_of_drawing():
    tuning = Tuning(trials=3, rungs=(1.0,), kept=())
    cells = [cell(lr, 1.0) for lr in (1e-3, 2e-3, 3e-3)]

    def chosen(*losses: float) -> float:
        records = {c.id: record(c, 0.8, loss) for c, loss in zip(cells, losses, strict=True)}
        (found,) = searches(tuning, SPACE, Cards(tasks={"colours": TASK}), {c.id: c for c in cells}, records)
        assert found.chosen is not None
        return found.chosen.values["lr"]

    assert chosen(0.5, 0.3, 0.4) == 2e-3
    assert chosen(0.5, 0.4, 0.4) == 2e-3


def test_of_a_metric_of_which_less_is_better_the_least_wins():
    cards = Cards(tasks={"colours": TaskCard("colours", "", "regression", ("rmse",), "", "", "", "")})
    tuning = Tuning(trials=2, rungs=(1.0,), kept=())
    cells = [cell(lr, 1.0) for lr in (1e-3, 2e-3)]
    records = {c.id: record(c, 0.5, validation={"rmse": rmse}) for c, rmse in zip(cells, (3.0, 2.0), strict=True)}
    (found,) = searches(tuning, SPACE, cards, {c.id: c for c in cells}, records)
    assert found.chosen is not None and found.chosen.values == {"lr": 2e-3}
    assert found.error(found.chosen) is None


def test_of_several_seeds_the_mean_decides_and_all_have_to_be_there():
    tuning = Tuning(trials=2, seeds=(100, 101), rungs=(1.0,), kept=())
    scores = {(1e-3, 100): 0.9, (1e-3, 101): 0.5, (2e-3, 100): 0.8, (2e-3, 101): 0.7}
    cells = {at: cell(at[0], 1.0, at[1]) for at in scores}
    records = {c.id: record(c, scores[at]) for at, c in cells.items()}
    cards = Cards(tasks={"colours": TASK})
    (found,) = searches(tuning, SPACE, cards, {c.id: c for c in cells.values()}, records)
    assert found.chosen is not None and found.chosen.values == {"lr": 2e-3}
    assert found.chosen.at(1.0).score == pytest.approx(0.75)
    # The binomial error of 400 examples, which both seeds were validated on.
    assert found.error(found.chosen) == pytest.approx(math.sqrt(0.75 * 0.25 / 400))
    del records[cells[2e-3, 101].id]
    (found,) = searches(tuning, SPACE, cards, {c.id: c for c in cells.values()}, records)
    assert not found.finished


def test_trials_that_were_stopped_and_trained_on_all_the_same_change_nothing_but_what_is_known():
    curves: list[list[float | None]] = [[0.1 * i, 0.1 * i, 0.1 * i] for i in range(1, 8)] + [[0.05, 0.05, 0.95]]
    found, whole = search(Tuning(), curves), search(Tuning(), curves, full=True)
    assert found.chosen is not None and whole.chosen is not None
    assert found.chosen.number == whole.chosen.number == 6
    assert found.spent == whole.spent
    assert found.in_full == [] and whole.in_full[0].number == 7


def test_labels_of_what_was_tuned():
    assert [tuned_label(label) for label in ("lora", "lora@r64")] == ["lora@tuned", "lora@r64-tuned"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rungs": (0.5, 0.25, 1.0)}, "rungs rise to 1"),
        ({"rungs": (0.25, 0.5), "kept": (0.5,)}, "rungs rise to 1"),
        ({"kept": (0.5,)}, "a share for each of the rungs but the last, 2"),
        ({"kept": (0.25, 0.5)}, "no more can be kept than of earlier ones"),
        ({"seeds": (1, 1)}, "a seed is there twice"),
        ({"trials": 1}, "greater than or equal to 2"),
    ],
)
def test_what_makes_no_search_is_refused(given, message: str):
    with pytest.raises(ValidationError, match=message):
        Tuning(**given)
