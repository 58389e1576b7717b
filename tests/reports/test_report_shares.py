"""What the number of test examples alone tells: held against statsmodels, and against what anybody would count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reports.analysis.contrasts import compare_with_reference
from reports.analysis.proportions import compare, shares_of
from reports.analysis.rank_sets import rank_sets
from reports.analysis.summaries import Summaries
from reports.outcomes import Proportion, read_proportions
from reports.results import read
from tests.reports import synthetic_results as synthetic

N = 1319
RUNS = 60
RIGHT = {"a": 700, "b": 660, "c": 655, "d": 500, "e": 0}


def shares(right=RIGHT, n=N, margin=0.01):
    found = [Proportion(label, 0, k, n, label) for label, k in right.items()]
    return compare("backbone", "task", found, margin)


def test_intervals_are_wilsons_as_statsmodels_has_them():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for share in shares().shares:
        low, high = proportion.proportion_confint(share.of.right, N, method="wilson")
        assert (share.low, share.high) == pytest.approx((low, high), abs=1e-12)


def test_differences_are_agrestis_and_caffos_as_statsmodels_has_them_corrected_by_holm():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    found, expected = shares().pairs, []
    for pair in found:
        counts = (RIGHT[pair.one], N, RIGHT[pair.other], N)
        interval = proportion.confint_proportions_2indep(*counts, method="agresti-caffo", compare="diff")
        assert pair.decision.interval == pytest.approx(interval, abs=1e-6)
        expected.append(proportion.test_proportions_2indep(*counts, method="agresti-caffo", compare="diff").pvalue)
    adjusted = multitest.multipletests(expected, method="holm")[1]
    assert [pair.decision.difference for pair in found] == pytest.approx(adjusted, rel=1e-4, abs=1e-12)


def test_two_one_sided_tests_are_those_of_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    [pair] = shares({"a": 150_100, "b": 150_000}, 300_000).pairs
    tested = [
        proportion.test_proportions_2indep(
            150_100, 300_000, 150_000, 300_000, value=bound, method="agresti-caffo", compare="diff", alternative=side
        ).pvalue
        for bound, side in ((-0.01, "larger"), (0.01, "smaller"))
    ]
    assert pair.decision.equivalence == pytest.approx(max(tested), rel=1e-3)
    assert pair.decision.word == "practically equal"


def test_the_best_comes_first_and_each_pair_has_one_word():
    found = shares()
    assert [share.of.label for share in found.shares] == ["a", "b", "c", "d", "e"]
    words = {(pair.one, pair.other): pair.decision.word for pair in found.pairs}
    assert len(words) == 10
    assert (words["a", "d"], words["d", "e"], words["b", "c"]) == ("better", "better", "undecided")
    assert (found.count("d", "better"), found.count("d", "worse"), found.count("b", "undecided")) == (1, 3, 2)
    assert found.decision("d", "a").word == "worse"
    assert found.decision("d", "a").effect == -found.decision("a", "d").effect


def test_none_right_is_not_a_certainty():
    [pair] = shares({"a": 3, "b": 0}, n=60).pairs
    assert pair.decision.word == "undecided"
    assert all(share.error > 0 for share in shares().shares)


def test_false_words_are_rare_and_a_true_difference_is_found():
    """Simulated: five models of one accuracy, and one that is better by ten points."""
    rng = np.random.default_rng(0)
    false = missed = 0
    for _ in range(RUNS):
        right = {str(i): int(rng.binomial(N, 0.4)) for i in range(5)} | {"best": int(rng.binomial(N, 0.5))}
        words = {frozenset((p.one, p.other)): p.decision.word for p in shares(right).pairs}
        false += any(words[frozenset(pair)] != "undecided" for pair in itertools.combinations(map(str, range(5)), 2))
        missed += sum(words[frozenset(("best", str(i)))] == "undecided" for i in range(5))
    assert false <= 0.05 * RUNS + 2 * (0.05 * 0.95 * RUNS) ** 0.5
    assert missed < 0.1 * RUNS * 5


def test_so_many_examples_as_are_said_to_be_needed_decide():
    """With what is seen at so many examples, the power is 80 %, simulated at the level that Holm leaves."""
    [pair] = shares({"a": 560, "b": 520}).pairs
    assert pair.decision.word == "undecided"
    n, rng, decided = pair.decision.examples, np.random.default_rng(0), 0
    effect = pair.decision.effect
    p = (560 / N + 520 / N) / 2
    for a, b in zip(rng.binomial(n, p + effect / 2, 200), rng.binomial(n, p - effect / 2, 200), strict=True):
        decided += shares({"a": int(a), "b": int(b)}, n).pairs[0].decision.word != "undecided"
    assert 0.72 < decided / 200 < 0.88


def test_ranks_are_as_wide_as_the_pairs_are_undecided():
    sets = rank_sets(shares().joint(), "backbone", ("task",)).sets
    assert (sets["e"].low, sets["e"].high, sets["d"].low) == (5, 5, 4)
    assert sets["b"].low <= 2 <= 3 <= sets["b"].high


def folder(root, right, seeds=(0,)):
    """Configurations with so many of 200 right answers, for each seed."""
    cells, records = [], []
    for method, k in right.items():
        for seed in seeds:
            cell = synthetic.cell(method, "rotten_tomatoes", seed, test_examples=200)
            cells.append(cell)
            records.append(synthetic.record(cell, score=k / 200))
    return read(synthetic.write(root, cells, records))


def test_a_record_without_predictions_tells_how_many_were_right(tmp_path):
    results = folder(tmp_path / "one", {"full": 160, "lora": 120})
    found = read_proportions(results, synthetic.BACKBONE, "rotten_tomatoes")
    assert {(each.label, each.right, each.examples) for each in found} == {("full", 160, 200), ("lora", 120, 200)}
    assert not read_proportions(folder(tmp_path / "odd", {"full": 160.3}), synthetic.BACKBONE, "rotten_tomatoes")


def test_configurations_of_several_seeds_take_no_part(tmp_path):
    assert not shares_of(folder(tmp_path / "two", {"full": 160, "lora": 120}, seeds=(0, 1)))


def test_differences_to_full_fine_tuning_have_a_verdict_from_one_seed(tmp_path):
    results = folder(tmp_path / "one", {"full": 160, "lora": 100, "bitfit": 158})
    scored = Summaries(results.scored)
    assert not any(each.decision for each in compare_with_reference(results, scored, {}))
    found = {each.label: each.decision for each in compare_with_reference(results, scored, {}, shares_of(results))}
    assert {label: decision.word for label, decision in found.items()} == {"lora": "worse", "bitfit": "undecided"}
    assert found["lora"].population == "examples" and found["lora"].effect < 0
