"""Verdicts on claims over simulated records in which the claim is true, false or undecidable by construction."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic
from scipy import stats

from bench.registry import Registry
from records.cards import Claim
from records.cell import Cell
from records.record import Evaluation, Record
from records.vocabulary import QUANTITIES
from reports.analysis.claims import Verdict, assess
from reports.model.claim_words import asked, caveats, measured
from reports.results import Results, read

TASKS = ("rotten_tomatoes", "bbc_news")


def claim(measure: str = "score", comparator: str = "full", relation: Any = "higher", **fields: Any) -> dict[str, Any]:
    return synthetic.to_plain(Claim("A claim.", "hu2022lora", measure, comparator, relation, **fields))


def written(root: Path, claims: list[dict], records: list[Record], of: str = "lora", **cards: Any) -> Results:
    methods = synthetic.method_cards()
    methods[of] |= {"claims": claims}
    plain = {"methods": methods, "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES} | cards
    return read(synthetic.write(root, [record.cell for record in records], records, cards=plain))


def scored(gaps: dict[str, list[float]], noise: float = 0.003, **budget: int) -> list[Record]:
    """Records of lora and full; lora lies above full by the gap of each task, give or take the noise, one per seed."""
    rng = np.random.default_rng(0)
    records = []
    for task, values in gaps.items():
        for seed, gap in enumerate(values):
            base = 0.85 + rng.normal(0, 0.02)
            records.append(synthetic.record(synthetic.cell("full", task, seed, **budget), score=base))
            score = base + gap + rng.normal(0, noise)
            records.append(synthetic.record(synthetic.cell("lora", task, seed, **budget), score=score))
    return records


def verdicts(root: Path, claims: list[dict], records: list[Record], **options: Any) -> list[Verdict]:
    return assess(written(root, claims, records, **options))


def both(gap: float, seeds: int = 3) -> dict[str, list[float]]:
    return {task: [gap] * seeds for task in TASKS}


@pytest.mark.parametrize(
    ("relation", "margin", "gap", "expected"),
    [
        ("higher", 0.0, 0.03, "supported"),
        ("higher", 0.0, -0.03, "contradicted"),
        ("higher", 0.05, 0.03, "contradicted"),
        ("lower", 0.0, -0.03, "supported"),
        ("lower", 0.0, 0.03, "contradicted"),
        ("at least", 0.02, 0.0, "supported"),
        ("at least", 0.02, -0.05, "contradicted"),
        ("at most", 0.02, 0.0, "supported"),
        ("at most", 0.02, 0.05, "contradicted"),
        ("equal", 0.02, 0.0, "supported"),
        ("equal", 0.02, 0.05, "contradicted"),
        ("equal", 0.02, -0.05, "contradicted"),
    ],
)
def test_a_clear_gap_decides(tmp_path: Path, relation: str, margin: float, gap: float, expected: str):
    [verdict] = verdicts(tmp_path, [claim(relation=relation, margin=margin)], scored(both(gap)))
    assert verdict.verdict == expected
    assert verdict.n == 6
    assert verdict.p is not None and verdict.p < 0.05
    assert verdict.low < verdict.effect < verdict.high
    assert verdict.effect == pytest.approx(100 * gap, abs=0.5)


@pytest.mark.parametrize("relation", ["higher", "lower", "at least", "at most", "equal"])
def test_noise_at_the_threshold_decides_nothing(tmp_path: Path, relation: str):
    [verdict] = verdicts(tmp_path, [claim(relation=relation)], scored(both(0.0), noise=0.02))
    assert verdict.verdict == "inconclusive"
    assert verdict.low < 0 < verdict.high


def test_three_seeds_on_one_task_decide_nothing_however_large_the_gap(tmp_path: Path):
    [verdict] = verdicts(tmp_path, [claim()], scored({"bbc_news": [0.1, 0.1, 0.1]}))
    assert (verdict.verdict, verdict.p, verdict.low, verdict.n) == ("inconclusive", None, None, 3)
    assert verdict.effect == pytest.approx(10, abs=0.5)
    assert "Too few pairs for a test." in measured(verdict)


def test_p_and_interval_are_scipys(tmp_path: Path):
    records = scored({"bbc_news": [0.02] * 6}, noise=0.01)
    [verdict] = verdicts(tmp_path, [claim(relation="at least", margin=0.01)], records)
    scores = {(r.cell.label, r.cell.seed): r.test["accuracy"] for r in records}
    differences = [scores["lora", seed] - scores["full", seed] for seed in range(6)]
    expected = stats.ttest_1samp(differences, -0.01, alternative="greater")
    assert verdict.p == pytest.approx(expected.pvalue)
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (verdict.low, verdict.high) == pytest.approx((100 * low, 100 * high))


def test_many_claims_are_corrected_together(tmp_path: Path):
    records = scored(both(0.012), noise=0.006)
    [alone] = verdicts(tmp_path / "one", [claim()], records)
    together = verdicts(tmp_path / "many", [claim()] * 40, records)
    assert alone.p is not None
    assert [v.p for v in together] == pytest.approx([min(1.0, 40 * alone.p)] * 40)
    assert (alone.verdict, {v.verdict for v in together}) == ("supported", {"inconclusive"})


def test_a_wrong_verdict_is_as_rare_as_promised(tmp_path: Path):
    """lora and full alike: "higher" is neither supported nor contradicted in more than 5 % of suites each."""
    results = written(tmp_path, [claim()], scored(both(0.0)))
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(300):
        cells = results.cells.assign(score=rng.normal(0.8, np.where(results.cells["task"] == "bbc_news", 0.005, 0.02)))
        outcomes += [v.verdict for v in assess(replace(results, cells=cells))]
    # 8.3 %: what a rate of 5 % stays below in 300 runs, but for one time in a hundred.
    highest = stats.binom.isf(0.01, 300, 0.05) / 300
    assert outcomes.count("supported") / 300 <= highest
    assert outcomes.count("contradicted") / 300 <= highest


def with_cost(record: Record, **fields: Any) -> Record:
    assert record.cost is not None
    return record.model_copy(update={"cost": record.cost.model_copy(update=fields)})


def timed(own: float, other: float, column: str = "step_seconds", noise: float = 0.02) -> list[Record]:
    rng = np.random.default_rng(2)
    figure = {"lora": own, "full": other}
    return [with_cost(r, **{column: figure[r.cell.label] * np.exp(rng.normal(0, noise))}) for r in scored(both(0.0))]


@pytest.mark.parametrize(
    ("own", "relation", "expected"),
    [(0.5, "lower", "supported"), (1.5, "lower", "contradicted"), (1.005, "equal", "inconclusive")],
)
def test_times_are_compared_as_ratios(tmp_path: Path, own: float, relation: str, expected: str):
    [verdict] = verdicts(tmp_path, [claim("step_seconds", relation=relation)], timed(own, 1.0))
    assert (verdict.verdict, verdict.unit) == (expected, "ratio")
    assert verdict.effect == pytest.approx(own, rel=0.03)
    assert verdict.low < verdict.effect < verdict.high


def test_latency_is_compared_with_the_backbone_of_the_same_cell(tmp_path: Path):
    latency = claim("merged_inference_seconds", "backbone", "at most", margin=0.05)
    rng = np.random.default_rng(3)
    machine = {}
    for factor in (1.0, 1.2):
        records = []
        for r in scored(both(0.0)):
            base = rng.uniform(0.01, 0.1)  # machines differ by far more than merging could cost
            merged = base * factor * np.exp(rng.normal(0, 0.01))
            records.append(with_cost(r, backbone_inference_seconds=base, merged_inference_seconds=merged))
        [verdict] = verdicts(tmp_path / str(factor), [latency], records)
        machine[factor] = verdict.verdict
        assert len(verdict.cells) == 6
    assert machine == {1.0: "supported", 1.2: "contradicted"}


@pytest.mark.parametrize(("factor", "expected"), [(0.9, "supported"), (1.1, "contradicted")])
def test_latencies_of_two_methods_are_compared_over_the_backbone_of_either(tmp_path: Path, factor, expected):
    """Cells are profiled at different times, between which the machine changes by far more than the methods differ."""
    rng = np.random.default_rng(4)
    records = []
    for r in scored(both(0.0)):
        base = rng.uniform(0.01, 0.1)
        taken = base * (1.5 * factor if r.cell.label == "lora" else 1.5) * np.exp(rng.normal(0, 0.01))
        records.append(with_cost(r, backbone_inference_seconds=base, inference_seconds=taken))
    [verdict] = verdicts(tmp_path, [claim("inference_seconds", "full", "lower")], records)
    assert (verdict.verdict, verdict.n) == (expected, 6)
    assert verdict.effect == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize(
    ("factor", "relation", "expected"),
    [(0.01, "at most", "supported"), (0.001, "at most", "contradicted"), (0.001, "higher", "supported"),
     (1.0, "equal", "contradicted")],
)  # fmt: skip
def test_counts_are_compared_exactly_with_one_pair(tmp_path: Path, factor: float, relation: str, expected: str):
    records = scored({"bbc_news": [0.0]})
    for comparator in ("full", "backbone"):
        one = claim("adapter_parameters", comparator, relation, factor=factor)
        [verdict] = verdicts(tmp_path / comparator, [one], records)
        assert (verdict.verdict, verdict.p, verdict.n) == (expected, None, 1)
        # 73,728 of 22,713,216: synthetic_results.
        assert verdict.effect == verdict.low == verdict.high == pytest.approx(73_728 / 22_713_216)


def test_counts_that_disagree_between_pairs_decide_nothing(tmp_path: Path):
    records = [with_cost(r, stored_bytes=10 + 10 * (r.cell.label == "lora") * (2 * r.cell.seed - 1))
               for r in scored({"bbc_news": [0.0, 0.0]})]  # fmt: skip
    [verdict] = verdicts(tmp_path, [claim("stored_bytes")], records)
    assert (verdict.verdict, verdict.low, verdict.high) == ("inconclusive", 0.0, 2.0)


def test_memory_is_the_sum_of_its_parts(tmp_path: Path):
    records = [with_cost(r, weights_bytes=10, gradient_bytes=1, optimizer_bytes=2,
                         activation_bytes=7 if r.cell.label == "full" else 0)
               for r in scored({"bbc_news": [0.0]})]  # fmt: skip
    [verdict] = verdicts(tmp_path, [claim("training_memory_bytes", relation="lower")], records)
    assert (verdict.verdict, verdict.effect) == ("supported", 13 / 20)


@pytest.mark.parametrize(
    ("own", "seeds", "relation", "expected"),
    [(0.001, 8, "lower", "supported"), (0.15, 8, "lower", "contradicted"), (0.02, 8, "lower", "inconclusive"),
     (0.001, 2, "lower", "inconclusive"), (0.15, 8, "at least", "supported")],
)  # fmt: skip
def test_spreads_over_seeds_are_compared(tmp_path: Path, own: float, seeds: int, relation: str, expected: str):
    """full varies by 0.02 (see `scored`); lora by `own`, about scores of its own."""
    rng = np.random.default_rng(6)
    records = [r if r.cell.label == "full" else synthetic.record(r.cell, score=0.5 + own * rng.normal())
               for r in scored(both(0.0, seeds))]  # fmt: skip
    [verdict] = verdicts(tmp_path, [claim("score_spread", relation=relation)], records)
    assert (verdict.verdict, verdict.n, verdict.unit) == (expected, 2 * seeds, "ratio")
    scores = {label: np.array([[r.test["accuracy"] for r in records if (r.cell.label, r.cell.task) == (label, task)]
                               for task in TASKS]) for label in ("lora", "full")}  # fmt: skip
    ratios = scores["lora"].std(axis=1, ddof=1) / scores["full"].std(axis=1, ddof=1)
    assert verdict.effect == pytest.approx(np.sqrt(ratios.prod()))


def test_one_seed_has_no_spread(tmp_path: Path):
    [verdict] = verdicts(tmp_path, [claim("score_spread")], scored(both(0.0, 1)))
    assert (verdict.verdict, verdict.effect, verdict.n) == ("inconclusive", None, 2)


def with_history(record: Record, scores: list[float]) -> Record:
    lines = [Evaluation(step=10 * (i + 1), epoch=i + 1, phase="tune", train_loss=1, validation_loss=1,
                        validation={"accuracy": score, "macro_f1": 0}) for i, score in enumerate(scores)]  # fmt: skip
    return record.model_copy(update={"history": lines})


def test_steps_to_target_are_those_to_the_best_score_that_both_reach(tmp_path: Path):
    """lora reaches full's best, 0.8, at step 20 (10 in one run); full at 40 (30): ratios 1/2 or 1/3."""
    fast, slow = [0.7, 0.85, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8]
    records = []
    for r in scored(both(0.0)):
        early = r.cell.seed == 0
        shown = (fast[1:] if early else fast) if r.cell.label == "lora" else (slow[1:] if early else slow)
        records.append(with_history(r, shown))
    [verdict] = verdicts(tmp_path, [claim("steps_to_target", relation="lower")], records)
    assert verdict.verdict == "supported"
    assert verdict.effect == pytest.approx(np.exp((np.log(1 / 3) + 2 * np.log(1 / 2)) / 3))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"comparator": "random_mask"}, "does not compare with random_mask"),
        ({"comparator": "in-context learning", "untestable": "It takes prompting."}, "It takes prompting."),
        ({"comparator": "full", "matched": ("rank",)}, "no full of the same rank"),
        ({"comparator": "full", "matched": ("adapter_parameters",)}, "no full of the same adapter parameters"),
        ({"comparator": "lora", "varies": "rank"}, "smaller rank"),
        ({"comparator": "full", "task_kind": "mixture"}, "tasks of kind mixture"),
        ({"comparator": "full", "max_train_examples": 100}, "at most 100 training examples"),
        ({"comparator": "backbone"}, "not known of the backbone"),
    ],
)
def test_what_a_suite_cannot_test_is_named(tmp_path: Path, fields: dict[str, Any], reason: str):
    [verdict] = verdicts(tmp_path, [claim(**fields)], scored(both(0.03)))
    assert verdict.verdict == "not testable here"
    assert reason in measured(verdict)
    assert (verdict.effect, verdict.n, verdict.p, verdict.cells) == (None, 0, None, ())


def test_what_was_not_measured_is_named(tmp_path: Path):
    records = [r.model_copy(update={"status": "trained", "cost": None}) for r in scored(both(0.0))]
    [verdict] = verdicts(tmp_path, [claim("step_seconds")], records)
    assert (verdict.verdict, measured(verdict)) == (
        "not testable here", "The time of a training step of lora was not measured.")  # fmt: skip


def test_a_condition_that_a_suite_meets_is_tested(tmp_path: Path):
    records = scored(both(0.03), train_examples=50)
    [verdict] = verdicts(tmp_path, [claim(max_train_examples=100, task_kind="classification")], records)
    assert verdict.verdict == "supported"


def configured(label: str, seed: int, task: str, rank: int, score: float, lr: float = 1e-3) -> Record:
    plain = synthetic.cell("lora", task, seed, label=label)
    hyperparameters = plain.hyperparameters | {"rank": rank, "lr": lr}
    return synthetic.record(Cell(**{**dict(plain), "hyperparameters": hyperparameters}), score=score)


def test_a_larger_value_is_compared_with_the_next_smaller_of_the_same_method(tmp_path: Path):
    rng = np.random.default_rng(5)
    ranks = {"lora": (8, 0.80), "lora@r16": (16, 0.85), "lora@r64": (64, 0.80)}
    records = [configured(label, seed, task, rank, score + rng.normal(0, 0.002), lr=1e-3 / rank)
               for label, (rank, score) in ranks.items() for task in TASKS for seed in range(3)]  # fmt: skip
    found = {v.label: v for v in verdicts(tmp_path, [claim(comparator="lora", varies="rank")], records)}
    assert {label: v.verdict for label, v in found.items()} == {
        "lora": "not testable here", "lora@r16": "supported", "lora@r64": "contradicted"}  # fmt: skip
    assert found["lora@r64"].effect == pytest.approx(-5, abs=0.5)


def test_of_a_search_the_rate_best_on_validation_data_stands_for_all(tmp_path: Path):
    rng = np.random.default_rng(7)
    validation = {1e-4: 0.7, 1e-3: 0.9, 1e-2: 0.8}
    records = [r for r in scored(both(0.0)) if r.cell.label == "full"]
    for rate, score in validation.items():
        for task in TASKS:
            for seed in range(3):
                # On test data it is the worst.
                made = configured(f"lora@{rate}", seed, task, 8, 1.4 - score + rng.normal(0, 0.002), lr=rate)
                records.append(made.model_copy(update={"validation": {"accuracy": score, "macro_f1": 0}}))
    [verdict] = verdicts(tmp_path, [claim(relation="lower")], records)
    assert (verdict.label, verdict.verdict) == ("lora@0.001", "supported")
    assert "the best of 3 on validation data" in " ".join(caveats(verdict))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"relation": "higher"}, "more than 0 points"),
        ({"relation": "at least", "margin": 0.01}, "at least −1 points"),
        ({"relation": "equal", "margin": 0.015}, "no more than 1.5 points either way"),
        ({"measure": "step_seconds", "relation": "lower", "factor": 0.5}, "less than 0.5"),
        ({"measure": "step_seconds", "relation": "at most", "margin": 0.25}, "at most 1.25"),
        ({"measure": "step_seconds", "relation": "equal", "margin": 0.25}, "0.8 to 1.25"),
    ],
)
def test_what_a_claim_asks_is_said_in_the_unit_of_its_effect(tmp_path: Path, fields: dict[str, Any], words: str):
    [verdict] = verdicts(tmp_path, [claim(**fields)], scored(both(0.03)))
    assert asked(verdict) == words
    assert words in measured(verdict)


def test_tasks_that_disagree_are_told(tmp_path: Path):
    gaps = {"rotten_tomatoes": [0.05] * 3, "bbc_news": [-0.02] * 3}
    [verdict] = verdicts(tmp_path, [claim()], scored(gaps))
    assert "The tasks' means disagree" in " ".join(caveats(verdict))
    [agreed] = verdicts(tmp_path / "agreed", [claim()], scored(both(0.05)))
    assert "disagree" not in " ".join(caveats(agreed))


def test_caveat_sets_the_papers_scale_beside_ours(tmp_path: Path):
    [verdict] = verdicts(tmp_path, [claim(scope="GPT-3 with 175 billion parameters")], scored(both(0.05)))
    assert "The paper: GPT-3 with 175 billion parameters." in " ".join(caveats(verdict))
    assert "22.7M parameters, at most 2,000 training examples" in " ".join(caveats(verdict))


def test_cards_of_an_earlier_version_are_read(tmp_path: Path):
    old = {k: v for k, v in claim().items() if k in ("text", "source", "measure", "comparator", "relation")}
    [verdict] = verdicts(tmp_path, [old], scored(both(0.05)))
    assert verdict.verdict == "supported"


def test_a_suite_of_which_nothing_ran_yet_has_a_verdict_for_every_claim(tmp_path: Path):
    cells = [synthetic.cell(method, task, 0) for method in synthetic.METHODS for task in TASKS]
    methods = {name: synthetic.to_plain(CARDS[name].card) for name in synthetic.METHODS}
    cards = {"methods": methods, "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES}
    found = assess(read(synthetic.write(tmp_path, cells, [], cards=cards)))
    assert {v.verdict for v in found} == {"not testable here"}
    assert len(found) == sum(len(card["claims"]) for card in methods.values())
    assert all(measured(v) and caveats(v) for v in found)


def test_cells_are_those_compared(tmp_path: Path):
    records = scored(both(0.05))
    [verdict] = verdicts(tmp_path, [claim()], records)
    assert set(verdict.cells) == {record.id for record in records}


PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CARDS = {name: Registry().get("methods", name).cls for name in PROJECT["entry-points"]["bench.methods"]}


@pytest.mark.parametrize("name", CARDS)
def test_claims_of_the_cards_can_be_read_by_a_report(name: str):
    """Names that a claim uses exist: a misspelt one would be "not testable here" for ever."""
    method = CARDS[name]
    for each in method.card.claims:
        assert QUANTITIES[each.measure].claimable
        assert each.comparator in {*CARDS, "backbone"} or each.untestable
        if each.comparator == "backbone":
            assert QUANTITIES[each.measure].beside
        fields = {*each.matched, each.varies} - {"", "adapter_parameters"}
        assert fields <= set(method.model_fields)
        if each.comparator in CARDS:
            assert fields <= set(CARDS[each.comparator].model_fields)
        if each.varies:
            assert each.comparator == name
        # No figure can be shown to be equal without a margin.
        assert each.relation != "equal" or each.margin > 0


def test_there_are_claims_enough():
    claims = [each for method in CARDS.values() for each in method.card.claims]
    assert len(claims) >= 25
    assert len({each.source for each in claims}) >= 20
