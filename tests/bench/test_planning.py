"""What a plan says, held against power computed elsewhere, and against folders whose records say what to expect."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from statsmodels.stats.power import TTestPower

from bench import plan_lines, planning, suite_reader
from bench.detectable import Spreads, components, detectable, measured, typical
from records import predictions
from records.cards import Cards
from records.cell import Budget, Cell
from records.predictions import Predictions
from records.record import DataUse, Manifest, Record
from records.store import RecordStore

NO_TORCH = Path(__file__).parent / "no_torch"
ROOT = Path(__file__).resolve().parents[2]
BUDGET = Budget(train_examples=64, validation_examples=40, test_examples=60, epochs=2, batch_size=8, max_length=32)
SUITE = {
    "backbones": ["embedded:minilm-l6"],
    "tasks": ["rotten_tomatoes", "imdb"],
    "methods": {"full": {}, "lora": {"rank": 4}, "head": {}},
    "seeds": [0, 1, 2],
    "budget": BUDGET.model_dump(),
}


Writer = Callable[..., Path]


@pytest.fixture
def write_suite(tmp_path: Path) -> Writer:
    """Keyword arguments replace keys of `SUITE`."""

    def write(**keys: object) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(SUITE | keys))
        return path

    return write


def cell(label: str, task: str, seed: int, **hyperparameters: int) -> Cell:
    return Cell(
        backbone="embedded:minilm-l6", backbone_revision="1", method=label, label=label,
        hyperparameters={"lr": 0.1} | hyperparameters, method_revision="1", task=task, task_revision="1", seed=seed,
        precision="auto", budget=BUDGET,
    )  # fmt: skip


def record(of: Cell, seconds: float = 30.0, score: float = 0.8, **fields: object) -> Record:
    return Record(
        id=of.id, cell=of, status="trained", started="", finished="", wall_seconds=seconds, test={"accuracy": score},
        data=DataUse(train=64, validation=40, test=50, duplicates_removed=0, train_tokens=1, steps=16),
        environment={"processor": planning.environment.processor()},
    ).model_copy(update=fields)  # fmt: skip


def write(root: Path, records: list[Record]) -> RecordStore:
    store = RecordStore(root)
    card = {
        "name": "t", "title": "t", "kind": "classification", "metrics": ["accuracy"], "summary": "s", "split": "s",
        "licence": "MIT", "citation": "",
    }  # fmt: skip
    cards = Cards.model_validate({"tasks": {each.cell.task: card for each in records}})
    cells = {each.id: each.cell for each in records}
    store.write_manifest(Manifest(suite={}, cells=cells, cards=cards, environment={}, created=""))
    for each in records:
        store.write(each)
    return store


def planned(path: Path, results: Path | None = None, slots: int = 1) -> planning.Plan:
    file, budgets = suite_reader.read_file(path)
    folder = plan_lines._read(results) if results else None
    done = planning.standing(file, folder[1] if folder else [])
    return planning.plan("tiny", file, list(planning.crossed(file, budgets)), done, folder, slots)


@pytest.mark.parametrize(("seeds", "level"), [(3, 0.05), (5, 0.05), (5, 0.05 / 16)])
def test_where_only_seeds_vary_power_is_that_of_a_paired_t_test(seeds: int, level: float):
    found = detectable(Spreads(0.01**2, 0, 0, ""), seeds, 400, level)
    assert TTestPower().power(found / 0.01, seeds, level) == pytest.approx(0.8, abs=2e-3)


def test_with_one_seed_it_is_that_of_a_paired_t_test_over_examples():
    found = detectable(Spreads(0.01**2, 0.1, 0.05, ""), 1, 400)
    assert TTestPower().power(found / 0.15**0.5, 400, 0.05) == pytest.approx(0.8, abs=2e-3)
    # So it is of these very models: of the mean over three seeds the residual varies by a third.
    fixed = detectable(Spreads(0.01**2, 0.1, 0.06, ""), 3, 400, fixed=True)
    assert TTestPower().power(fixed / 0.12**0.5, 400, 0.05) == pytest.approx(0.8, abs=2e-3)


@pytest.mark.parametrize(("seeds", "examples"), [(3, 2000), (5, 400), (10, 100)])
def test_a_difference_of_that_size_is_found_in_four_of_five_simulated_runs(seeds: int, examples: int):
    """Seeds and examples crossed; of each run the test that a report makes, on its own mean squares."""
    rng, runs, spreads = np.random.default_rng(0), 40_000, Spreads(0.004**2, 0.07, 0.08, "")
    true = detectable(spreads, seeds, examples)
    freedoms = np.array([seeds - 1, examples - 1, (seeds - 1) * (examples - 1)])
    expected = spreads.residual + np.array([examples * spreads.seed, seeds * spreads.example, 0])
    squares = expected * rng.chisquare(freedoms, (runs, 3)) / freedoms / (seeds * examples)
    mean = true + rng.normal(0, np.sqrt(expected @ [1, 1, -1] / (seeds * examples)), runs)
    shared = np.maximum(squares[:, 1] - squares[:, 2], 0)
    reach = stats.t.isf(0.025, freedoms[:2]) ** 2 @ np.array([squares[:, 0], shared])
    assert (mean**2 > reach).mean() == pytest.approx(0.8, abs=0.01)


def test_more_of_anything_detects_less_and_correction_more():
    usual = typical()
    base = detectable(usual, 3, 400)
    assert detectable(usual, 5, 400) < base and detectable(usual, 3, 2000) < base
    assert detectable(usual, 3, 400, 0.05 / 16) > base
    assert np.isnan(detectable(usual, 3, 1))


def test_components_of_what_adds_up_are_the_variances_of_its_parts():
    of_seeds, of_examples = np.array([0.0, 3.0, 1.0]), np.array([1.0, 0.0, 0.0, -2.0])
    found = components(of_seeds[:, None] + of_examples[None, :])
    assert found == pytest.approx((of_seeds.var(ddof=1), of_examples.var(ddof=1), 0.0))


def test_spreads_come_from_kept_predictions_as_far_as_there_are_some(tmp_path: Path):
    rng = np.random.default_rng(1)
    lasting, records, store = rng.normal(0, 0.4, 3000), [], RecordStore(tmp_path)
    for seed in range(20):
        for label in ("full", "head"):
            scores = rng.normal(0, 0.3, 3000) + (lasting + rng.normal(0, 0.02) if label == "head" else 0)
            kept = Predictions(
                "regression", [f"{n:04}" for n in range(3000)], [0.0] * 3000, [0.0] * 3000,
                scores={"accuracy": scores.tolist()},
            )  # fmt: skip
            one = cell(label, "imdb", seed)
            digest = store.keep(one.id, predictions.FILE, predictions.to_bytes(kept))
            records.append(record(one, kept={predictions.FILE: digest}))
    store = write(tmp_path, records)
    (found,) = measured(store, records, store.manifest().cards).values()
    assert found.seed**0.5 == pytest.approx(0.02, rel=0.5)
    assert found.example == pytest.approx(0.4**2, rel=0.1)
    assert found.residual == pytest.approx(2 * 0.3**2, rel=0.1)
    assert "example by example" in found.source


def test_of_one_seed_the_examples_are_measured(tmp_path: Path):
    right = {"full": [1.0] * 60 + [0.0] * 40, "head": [1.0] * 50 + [0.0] * 30 + [1.0] * 20}  # 10 and 20 otherwise
    records, store = [], RecordStore(tmp_path)
    for label, scores in right.items():
        kept = Predictions(
            "classification", [f"{n:03}" for n in range(100)], [0] * 100, [0] * 100, scores={"accuracy": scores}
        )
        one = cell(label, "imdb", 0)
        digest = store.keep(one.id, predictions.FILE, predictions.to_bytes(kept))
        records.append(record(one, kept={predictions.FILE: digest}))
    store = write(tmp_path, records)
    (found,) = measured(store, records, store.manifest().cards).values()
    assert found.example + found.residual == pytest.approx((0.3 - 0.1**2) * 100 / 99)
    assert found.seed == typical().seed and "seeds: typical" in found.source


def test_without_them_seeds_come_from_scores(tmp_path: Path):
    rng = np.random.default_rng(2)
    records = [record(cell("full", "imdb", seed), score=0.7) for seed in range(5)]
    for label in (f"m{n}" for n in range(60)):
        records += [record(cell(label, "imdb", seed), score=0.7 + rng.normal(0, 0.07)) for seed in range(5)]
    store = write(tmp_path, records)
    (found,) = measured(store, records, store.manifest().cards).values()
    # What fifty test examples account for is taken off.
    assert found.seed == pytest.approx(0.07**2 - typical().residual / 50, rel=0.3)
    assert found.example == typical().example and "typical" in found.source


def test_what_is_done_is_told_from_what_is_open(write_suite: Writer, tmp_path: Path):
    path = write_suite(profile=False)
    ok = [record(cell("full", "imdb", seed), 100.0) for seed in range(3)]
    ok += [record(cell("lora", "imdb", 0, rank=4), 50.0), record(cell("lora", "imdb", 1, rank=8), 50.0)]
    failed = record(cell("head", "imdb", 0), status="failed")
    found = planned(path, write(tmp_path / "there", [*ok, failed]).root)
    assert (found.done, found.open) == (4, 14)  # of another rank, and failed, are open
    assert found.rests["finished ones of the same method, task and budget"] == 2
    assert found.rests["finished ones of other methods on the same task and budget"] == 3
    assert sum(found.rests.values()) == 14
    imdb = next(one for one in found.found if one.task == "imdb")
    assert imdb.examples == 50 and found.comparisons == 4  # as many as the records had, and not as were asked for


def test_time_of_open_cells_is_that_of_finished_ones(write_suite: Writer, tmp_path: Path):
    path = write_suite(**SUITE | {"tasks": ["imdb"], "seeds": [0, 1, 2, 3]}, profile=False)
    for_each = {"full": {}, "lora": {"rank": 4}, "head": {}}
    records = [record(cell(label, "imdb", s, **given), 100.0) for label, given in for_each.items() for s in (0, 1)]
    found = planned(path, write(tmp_path / "there", records).root, slots=2)
    assert found.seconds is not None and found.seconds.low < 6 * 100 / 2 < found.seconds.high
    elsewhere = [each.model_copy(update={"environment": {"processor": "another"}}) for each in records]
    wider = planned(path, write(tmp_path / "elsewhere", elsewhere).root, slots=2)
    assert wider.seconds is not None and wider.seconds.high > 1.5 * found.seconds.high


def test_the_command_plans_without_torch(bench_process, write_suite: Writer):
    path = write_suite()
    said = bench_process("plan", path, PYTHONPATH=os.pathsep.join([str(NO_TORCH), str(ROOT)]))
    assert said.returncode == 0, said.stderr
    assert "18 cells (1 backbone × 3 methods × 2 tasks × 3 seeds): 0 done, 18 open" in said.stdout
    assert "detectable on rotten_tomatoes and imdb" in said.stdout and "over 4 differences to full" in said.stdout


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"methods": ["lorra"]}, "methods.lorra: unknown method 'lorra'; did you mean 'lora'?"),
        ({"tasks": {"imdb": {"epochs": "three"}}}, "tasks.imdb.epochs: input should be a valid integer"),
        ({"backbones": ["embedded:minilm"]}, "backbones.0: unknown backbone 'embedded:minilm'; did you mean"),
        ({"sedes": [0]}, "sedes: unknown key; did you mean 'seeds'?"),
    ],
)
def test_a_mistake_in_the_suite_is_one_line(bench, write_suite: Writer, keys: dict, said: str):
    found = bench("plan", write_suite(**keys))
    assert found.returncode == 1 and said in found.stderr and found.stderr.count("\n") == 1


def test_a_folder_that_was_named_and_holds_nothing_is_one_line(bench, write_suite: Writer, tmp_path: Path):
    found = bench("plan", write_suite(), "--results", tmp_path / "nowhere")
    assert found.returncode == 1 and found.stderr.startswith("bench: ") and found.stderr.count("\n") == 1


def test_ten_thousand_cells_are_planned_from_the_file_alone(write_suite: Writer):
    found = planned(write_suite(**{"seeds": list(range(2000))}))
    assert found.open == 12_000 and found.comparisons == 4
