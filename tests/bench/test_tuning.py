"""`bench tune`, and what `bench run` makes of its search: on a tiny backbone, as a user sees it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench.contract import DataError
from bench.data import prepare
from bench.forms.choice import form_of
from bench.resolved_suite import ResolvedSuite
from bench.suite import Suite, SuiteError
from bench.tuning.trials import SuiteSearch, drawn, space_of
from bench.tuning.tuned import with_tuned
from bench.tuning.words import said
from records import tuning
from records.cards import MethodCard, Range
from records.cell import Budget
from records.record import DataUse, Manifest, Record
from records.store import RecordStore, ResultsError
from records.tuning import Tuning
from tests.conftest import PLUGINS, read_records

METHODS = {"full": {"lr": 1e-3}, "lora": {"lr": 1e-3, "rank": 2}}
# Of 16 steps: four to 4, two to 8, one to 16.
TUNING = {"trials": 4, "rungs": [0.25, 0.5, 1.0], "kept": [0.5, 0.25]}


def search_of(suite: Path, results: Path = Path("nowhere"), full: bool = False) -> SuiteSearch:
    return SuiteSearch.of(ResolvedSuite.of(Suite.load(str(suite))), results, full)


def found_in(results: Path) -> list[tuning.Search]:
    store = RecordStore(results / "tuning")
    return tuning.read(store.manifest(), {record.id: record for record in store.records()})


def test_every_method_gets_the_same_trials_at_the_same_places_of_its_own_range(write_suite):
    search = search_of(write_suite(methods=METHODS | {"head": {}}, tuning={"trials": 8, "seeds": [7, 8]}))
    places = {}
    for (_, _, label), trials in search.trials(1.0).items():
        (space,) = search.spaces[label]
        assert [[cell.seed for cell in trial] for trial in trials] == [[7, 8]] * 8
        places[label] = [space.place(trial[0].hyperparameters["lr"]) for trial in trials]
    assert set(places) == {"full", "lora", "head"}
    assert places["full"] == pytest.approx(places["lora"], abs=1e-5)  # of rates with six digits
    assert places["full"] == pytest.approx(places["head"], abs=1e-5)


def test_of_eight_trials_one_lies_in_each_eighth_of_every_range():
    """What makes Sobol's points even; eight points drawn by chance do so once in 416 searches (8! / 8⁸)."""
    space = (Range("lr", 1e-4, 1e-2, ""), Range("weight_decay", 1e-3, 1e-1, ""))
    trials = drawn(Tuning(trials=8), space)
    for each in space:
        assert sorted(int(8 * each.place(trial[each.name]) + 1e-4) for trial in trials) == list(range(8))
    by_chance = drawn(Tuning(trials=8, sampler="random"), space)
    assert sorted(int(8 * space[0].place(trial["lr"])) for trial in by_chance) != list(range(8))


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_a_longer_search_goes_on_from_a_shorter_one(sampler):
    space = (Range("lr", 1e-4, 1e-2, ""),)
    short, long = (drawn(Tuning(trials=trials, sampler=sampler), space) for trials in (5, 16))
    assert long[:5] == short
    assert len({trial["lr"] for trial in long}) == 16


def test_without_a_range_on_the_card_the_suites_rate_is_searched_around():
    card = MethodCard("theirs", "", "", "", "", "", "")
    (space,) = space_of(card, {"lr": 3e-3, "rank": 4})
    assert (space.name, space.low, space.high) == ("lr", pytest.approx(3e-4), pytest.approx(3e-2))
    assert space_of(card, {"shots": 4}) == ()


def test_trials_are_on_their_own_examples_and_never_tested(write_suite):
    suite = write_suite(methods=METHODS, tuning=TUNING | {"train_examples": 48, "validation_examples": 70})
    reported = Suite.load(str(suite)).cells.values()
    trials = [cell for rung in search_of(suite).trials(1.0).values() for trial in rung for cell in trial]
    assert {(cell.budget.train_examples, cell.budget.validation_examples) for cell in trials} == {(48, 70)}
    assert {(cell.budget.train_examples, cell.budget.validation_examples) for cell in reported} == {(64, 40)}
    assert all(cell.stop is not None for cell in trials)
    assert {cell.validation_from for cell in trials} == {None}


def test_trials_may_be_validated_on_examples_that_the_suite_does_not_have(write_suite):
    suite = write_suite(methods=METHODS, tuning=TUNING | {"other_examples": True})
    trials = [cell for rung in search_of(suite).trials(1.0).values() for trial in rung for cell in trial]
    assert {cell.validation_from for cell in trials} == {40}


def test_validation_examples_after_the_first_are_others_in_the_same_order(tiny_backbone, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(PLUGINS))
    import colours
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    budget = Budget(train_examples=8, validation_examples=60, test_examples=8, max_length=32)
    form = form_of(colours.Colours(), tokenizer, budget, "head", (), False)

    def drawn_from(first: int | None, count: int) -> list[str]:
        one = prepare(form, budget.model_copy(update={"validation_examples": count}), 0, validation_from=first)
        return one.validation["example"]

    whole = drawn_from(None, 60)
    assert drawn_from(40, 20) == whole[40:]
    assert len(drawn_from(70, 60)) == 10  # of 80 in all
    with pytest.raises(DataError, match="has 80 validation examples, of which none is left after the first 80"):
        drawn_from(80, 60)


def test_one_task_may_stand_for_all(write_suite):
    both = {"colours": {}, "rotten_tomatoes": {}}
    suite = write_suite(tasks=both, methods=METHODS, tuning=TUNING | {"task": "colours"})
    assert {task for _, task, _ in search_of(suite).trials(1.0)} == {"colours"}


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"trials": 8, "seeds": [3, 0]}, "tuning: seed 0 is one of the suite's; a search has seeds of its own"),
        ({"trails": 8}, "tuning.trails: unknown key of tuning; did you mean 'trials'?"),
        ({"trials": 1}, "tuning.trials: input should be greater than or equal to 2, got 1"),
        ({"trials": 8.5}, "tuning.trials: input should be a valid integer, got 8.5"),
        ({"task": "rotten_tomatoes"}, "tuning: its task is one of the suite's: colours"),
        ({"sampler": "tpe"}, "tuning.sampler: input should be 'sobol' or 'random', got 'tpe'"),
        ({"rungs": [0.5, 0.1, 1]}, "tuning.rungs: rungs rise to 1"),
        ({"kept": [0.5]}, "tuning.kept: takes a share for each of the rungs but the last, 2"),
        ({"kept": [0.5, 1.5]}, "tuning.kept.1: input should be less than or equal to 1, got 1.5"),
        ("yes", "tuning: input should be"),
    ],
)
def test_what_is_wrong_with_a_search_is_one_line(write_suite, keys, fault):
    with pytest.raises(SuiteError) as error:
        Suite.load(str(write_suite(tuning=keys)))
    (line,) = str(error.value).splitlines()
    assert fault in line


def test_a_label_that_the_search_would_give_is_refused(write_suite):
    with pytest.raises(SuiteError, match="'lora@tuned' is what the search calls 'lora' once tuned; rename"):
        Suite.load(str(write_suite(methods=METHODS | {"lora@tuned": {"rank": 4}}, tuning=TUNING)))


def test_ids_are_those_of_a_suite_without_a_search(write_suite):
    plain, tuned = (Suite.load(str(write_suite(name, **keys))) for name, keys in (("a", {}), ("b", {"tuning": TUNING})))
    assert list(plain.cells) == list(tuned.cells)
    assert "tuning" not in plain.resolved()


def test_a_plan_tells_the_search_and_both_entries(bench, write_suite):
    search, cells, *_ = bench("plan", write_suite(methods=METHODS, tuning={"trials": 8})).stdout.splitlines()
    said = (
        "search (bench tune): at most 26 cells, 8 trials for each of 2 searches, with 42 % of the steps of whole ones"
    )
    assert search == said
    assert cells.startswith("tiny: 4 cells (1 backbone × 4 methods × 1 task × 1 seed)")


def test_a_suite_without_a_search_has_nothing_to_tune(bench, write_suite):
    done = bench("tune", write_suite())
    assert done.returncode == 1
    assert done.stderr.strip().endswith("asks for no search; give it a key `tuning`, as in `tuning: {trials: 8}`")


@pytest.mark.exhaustive
def test_a_search_is_run_rung_by_rung_and_its_choice_is_a_second_entry(bench, write_suite, tmp_path):
    short = {"trials": 2, "rungs": [0.5, 1.0], "kept": [0.5]}
    suite = write_suite(methods=METHODS, tuning=short)
    results = tmp_path / "results" / "tiny"
    early = bench("run", suite)
    assert early.returncode == 1 and "run `bench tune` of the same suite first" in early.stderr
    assert not results.exists()

    done = bench("tune", suite)
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_records(results / "tuning")
    # Of each method both trials to the first rung, one to the end.
    assert sorted(record["cell"]["stop"] for record in records.values()) == [0.5] * 4 + [1.0] * 2
    assert {record["cell"]["seed"] for record in records.values()} == {100}
    assert all(record["test"] == {} and record["data"]["test"] == 0 for record in records.values())
    searches = {search.label: search for search in found_in(results)}
    for search in searches.values():
        assert search.finished and search.chosen is not None
        # Two trials to 8 of 16 steps, of which one goes on: what was trained is not trained again.
        assert search.spent[0] == 2 * 8 + 8
        assert f"{search.label} · colours: lr {search.chosen.values['lr']:g} (validation accuracy" in done.stdout

    assert not [path for path in (results / "tuning").rglob("*") if "checkpoint" in path.name]

    assert bench("run", suite).returncode == 0
    reported = {record["cell"]["label"]: record["cell"] for record in read_records(results).values()}
    assert sorted(reported) == ["full", "full@tuned", "lora", "lora@tuned"]
    for label, search in searches.items():
        assert reported[label]["hyperparameters"]["lr"] == 1e-3
        found = reported[label]["hyperparameters"] | search.chosen.values
        assert reported[f"{label}@tuned"]["hyperparameters"] == found
        assert reported[f"{label}@tuned"]["seed"] == 0 and reported[f"{label}@tuned"]["stop"] is None
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["suite"]["tuned"] == {"full@tuned": "full", "lora@tuned": "lora"}
    assert len(manifest["cells"]) == 4


class Ended(Exception):
    """A run that was cut off."""


class Runner:
    """Runs cells as a scheduler would, with scores that are written down here: the best rate is 1e-3."""

    def __init__(self, search: SuiteSearch, most: int = 1_000, diverges: float = math.inf) -> None:
        self.search, self.most, self.diverges = search, most, diverges
        self.ran: list[str] = []

    def __call__(self, suite: ResolvedSuite) -> None:
        store = self.search.store
        store.write_manifest(Manifest(suite=suite.resolved(), cells=suite.cells, cards=suite.cards(), environment={},
                                      created=""))  # fmt: skip
        for cell_id, cell in suite.cells.items():
            if len(self.ran) == self.most:
                raise Ended
            self.ran.append(cell_id)
            rate = cell.hyperparameters["lr"]
            score = 0.9 - 0.1 * abs(math.log10(rate / 1e-3))
            outcome = {"status": "trained", "validation": {"accuracy": score}, "data": DataUse(steps=16 * cell.stop)}
            if rate > self.diverges:
                outcome = {"status": "failed", "reason": "the training loss is nan"}
            store.write(Record(id=cell_id, cell=cell, started="", finished="", wall_seconds=1, **outcome))


def test_a_search_that_was_cut_off_goes_on_and_tries_nothing_twice(write_suite, tmp_path):
    suite = write_suite(methods=METHODS, tuning=TUNING)
    whole = Runner(search_of(suite, tmp_path / "whole"))
    whole.search.carry_out(whole)
    # Of each method four trials, then the better two of them, then the best.
    assert len(whole.ran) == len(set(whole.ran)) == 2 * (4 + 2 + 1)
    for most in range(0, len(whole.ran), 3):
        search = SuiteSearch(whole.search.suite, whole.search.tuning, RecordStore(tmp_path / str(most) / "tuning"))
        first, second = Runner(search, most), Runner(search)
        with pytest.raises(Ended):
            search.carry_out(first)
        search.carry_out(second)
        assert first.ran + second.ran == whole.ran
        assert search.store.manifest() == whole.search.store.manifest()
        assert [each.chosen for each in search.standing()] == [each.chosen for each in whole.search.standing()]


def test_trials_that_fail_are_tried_once_and_cannot_win(write_suite, tmp_path):
    search = search_of(write_suite(methods=METHODS, tuning=TUNING), tmp_path)
    runner = Runner(search, diverges=9e-4)
    search.carry_out(runner)
    assert len(runner.ran) == len(set(runner.ran))
    for found in found_in(tmp_path):
        failed = [trial for trial in found.trials if trial.values["lr"] > 9e-4]
        assert len(found.trials) == 4 and found.chosen not in failed
        assert all(found.stopped(trial) == 0.25 for trial in failed)
    search.carry_out(again := Runner(search))
    assert again.ran == []


def test_where_all_trials_failed_there_is_no_tuned_entry(write_suite, tmp_path):
    search = search_of(write_suite(methods=METHODS, tuning=TUNING), tmp_path)
    search.carry_out(Runner(search, diverges=6e-4))  # of LoRA's range, from 1e-4 to 1e-2, some are lower
    lost = SuiteSearch(search.suite, search.tuning, RecordStore(tmp_path / "lost" / "tuning"))
    lost.carry_out(Runner(lost, diverges=0))
    assert {cell.label for cell in with_tuned(search.suite, tmp_path).cells.values()} >= {"lora", "lora@tuned"}
    assert {cell.label for cell in with_tuned(lost.suite, tmp_path / "lost").cells.values()} == {"full", "lora"}
    assert all("nothing found; 4 without a score: the training loss is nan" in line for line in said(lost.standing()))


def test_in_full_all_trials_are_trained_to_their_end_and_the_choice_stays(write_suite, tmp_path):
    suite = write_suite(methods=METHODS, tuning=TUNING)
    short = search_of(suite, tmp_path)
    short.carry_out(Runner(short))
    before = {found.label: found for found in found_in(tmp_path)}
    assert all(found.in_full == [] for found in before.values())
    whole = search_of(suite, tmp_path, full=True)
    whole.carry_out(runner := Runner(whole))
    assert len(runner.ran) == 2 * 3  # one was trained to its end already
    for found in found_in(tmp_path):
        assert len(found.in_full) == 4
        assert found.chosen.number == before[found.label].chosen.number
        assert found.spent == before[found.label].spent


def test_resolved_search_needs_no_plugin(write_suite):
    """What a cluster's login node is given of a suite is enough to draw the trials."""
    suite = write_suite(methods=METHODS, tuning=TUNING)
    resolved = ResolvedSuite.model_validate_json(ResolvedSuite.of(Suite.load(str(suite))).model_dump_json())
    again = SuiteSearch.of(resolved, Path("nowhere"))
    assert list(again.open()) == list(search_of(suite).open())


def test_an_unfinished_search_is_refused(write_suite, tmp_path):
    search = search_of(write_suite(methods=METHODS, tuning=TUNING), tmp_path)
    with pytest.raises(Ended):
        search.carry_out(Runner(search, most=13))
    with pytest.raises(ResultsError, match="has no finished search of them; run `bench tune` of the same suite first"):
        with_tuned(search.suite, tmp_path)
    search.carry_out(Runner(search))
    assert len(with_tuned(search.suite, tmp_path).cells) == 4


def test_what_was_found_on_one_task_is_used_on_all(write_suite, tmp_path):
    tasks = {"colours": {}, "rotten_tomatoes": {}}
    search = search_of(write_suite(tasks=tasks, methods=METHODS, tuning=TUNING | {"task": "colours"}), tmp_path)
    search.carry_out(Runner(search))
    cells = with_tuned(search.suite, tmp_path).cells.values()
    (found, _) = search.standing()
    assert {cell.task: cell.hyperparameters["lr"] for cell in cells if cell.label == "full@tuned"} == {
        "colours": found.chosen.values["lr"],
        "rotten_tomatoes": found.chosen.values["lr"],
    }
