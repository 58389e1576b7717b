"""Statistics over seeds and examples, and the words that follow, against other libraries, closed forms and trial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from records.cards import Metric
from reports.analysis.crossed import Crossed, Estimate, Part, crossed, resampled, sample
from reports.analysis.decisions import Question, decide, margin_of, word
from reports.scales import Scale


def answers(*shape: int, right: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).uniform(size=shape) < right).astype(float)


def layered(seeds: int, examples: int, sd: tuple[float, float, float], mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Differences with spreads of seeds, of examples and of the rest."""
    rng = np.random.default_rng(seed)
    parts = (sd[0] * rng.normal(size=(seeds, 1)), sd[1] * rng.normal(size=examples))
    return mean + parts[0] + parts[1] + sd[2] * rng.normal(size=(seeds, examples))


@pytest.mark.parametrize("seed", range(4))
def test_one_seed_of_right_and_wrong_answers_is_mcnemars_test(seed: int):
    """The statistic is a function of McNemar's; with many examples the p-values agree."""
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    n = 1500
    a, b = answers(1, n, right=0.85, seed=seed), answers(1, n, right=0.82, seed=seed + 50)
    counts = [[np.sum((a == i) & (b == j)) for j in (1, 0)] for i in (1, 0)]
    mcnemar = tables.mcnemar(counts, exact=False, correction=False)
    found = crossed(a, b, unit=1.0).these_models()
    t = found.mean / np.sqrt(found.parts[0].variance)
    assert t**2 == pytest.approx(mcnemar.statistic * (n - 1) / (n - mcnemar.statistic))
    assert found.p_different() == pytest.approx(mcnemar.pvalue, rel=0.05)


def test_one_seed_of_any_scores_is_statsmodels_paired_test_and_its_two_one_sided_tests():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    rng = np.random.default_rng(1)
    b = rng.uniform(size=300)
    a = b + rng.normal(0.004, 0.05, 300)
    found = crossed(a[None], b[None], unit=0.0).these_models()
    assert found.p_different() == pytest.approx(stats.ttest_rel(a, b).pvalue)
    for margin in (0.005, 0.01, 0.02):
        assert found.p_equivalent(margin) == pytest.approx(weightstats.ttost_paired(a, b, -margin, margin)[0])
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.interval() == pytest.approx((expected.low, expected.high))


def test_the_interval_for_these_models_is_a_paired_bootstraps_over_examples():
    a, b = answers(3, 2000, right=0.86, seed=2), answers(3, 2000, right=0.84, seed=3)
    drawn = stats.bootstrap(
        (a.mean(axis=0), b.mean(axis=0)), lambda x, y, axis: x.mean(axis) - y.mean(axis), paired=True,
        method="percentile", n_resamples=2000, rng=np.random.default_rng(4),
    ).confidence_interval  # fmt: skip
    low, high = crossed(a, b, unit=1.0).these_models().interval()
    assert (low, high) == pytest.approx((drawn.low, drawn.high), abs=0.1 * (high - low))


def test_components_are_those_of_statsmodels_analysis_of_variance():
    formula = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    pd = pytest.importorskip("pandas")
    d = layered(4, 30, (0.02, 0.05, 0.03))
    long = pd.DataFrame([(s, i, d[s, i]) for s in range(4) for i in range(30)], columns=["s", "i", "d"])
    squares = anova.anova_lm(formula.ols("d ~ C(s) + C(i)", long).fit())
    squares = squares["sum_sq"] / squares["df"] / d.size
    found = crossed(d, np.zeros_like(d), unit=0.0)
    assert found.over_seeds == pytest.approx(squares["C(s)"])
    assert found.over_examples == pytest.approx(squares["C(i)"])
    assert found.residual == pytest.approx(squares["Residual"])
    wide = found.other_seeds()
    assert wide is not None
    # Banerjee's half width, with the examples' own part in addition to what is in the seeds' spread.
    t = stats.t.isf(0.025, [3, 29])
    expected = t[0] ** 2 * squares["C(s)"] + t[1] ** 2 * (squares["C(i)"] - squares["Residual"])
    assert wide.reach(0.025) ** 2 == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_no_interval_for_other_seeds_is_narrower_than_for_these_models(seeds: int):
    for seed in range(30):
        found = crossed(layered(seeds, 50, (0, 0.1, 0.3), seed=seed), np.zeros((seeds, 50)), unit=0.0)
        wide = found.other_seeds()
        assert wide is not None
        for level in (0.5, 0.95, 0.999):
            assert wide.reach((1 - level) / 2) >= found.these_models().reach((1 - level) / 2)
        assert wide.p_different() >= found.these_models().p_different() - 1e-9


def test_without_example_noise_other_seeds_are_students_paired_test():
    d = np.array([0.01, 0.03, 0.02, 0.05])
    expected = stats.ttest_1samp(d, 0.0)
    everywhere = crossed(np.repeat(d[:, None], 40, axis=1), np.zeros((4, 40)), unit=0.0).other_seeds()
    for found in (everywhere, sample(d)):
        assert found is not None
        assert found.p_different() == pytest.approx(expected.pvalue)
        assert found.interval() == pytest.approx(tuple(expected.confidence_interval()))


def test_p_values_are_where_intervals_end():
    found = crossed(layered(3, 200, (0.01, 0.1, 0.1), 0.02), np.zeros((3, 200)), unit=0.0).other_seeds()
    assert found is not None
    for level in (0.9, 0.99):
        low, high = found.interval(level)
        assert (found.p_above(low), found.p_below(high)) == pytest.approx(((1 - level) / 2,) * 2)
    assert found.p_above(found.mean) == found.p_below(found.mean) == 0.5


def test_draws_of_a_mean_give_what_its_examples_give():
    """For a metric that is a mean both ways are open: the bootstrap's variances are the analysis of variance's."""
    a, b = (answers(3, 400, right=right, seed=seed) for right, seed in ((0.8, 5), (0.75, 6)))
    chosen = np.random.default_rng(7).integers(400, size=(4000, 400))
    draws = np.array([[d[rows].mean() for rows in chosen] for d in a - b])
    exact, drawn = crossed(a, b, unit=1.0), resampled((a - b).mean(axis=1), draws, 400)
    assert drawn.mean == pytest.approx(exact.mean)
    assert drawn.over_seeds == pytest.approx(exact.over_seeds)
    assert drawn.over_examples == pytest.approx(exact.over_examples, rel=0.1)
    assert drawn.residual == pytest.approx(exact.residual, rel=0.1)


def test_equal_answers_are_as_uncertain_as_the_rule_of_three_says():
    """Of n examples without a difference, up to 3 / n of all may have one."""
    same = answers(1, 300, right=0.9, seed=8)
    low, high = crossed(same, same, unit=1.0).these_models().interval()
    assert (low, high) == pytest.approx((-0.01, 0.01), rel=0.15)


def test_few_examples_that_differ_are_not_enough_to_call_two_equal():
    """One of 400 differs. If a share of 1 % were answered worse, so few would in one of eleven test sets: exact is
    9 %."""
    a = np.ones((1, 400))
    b = a.copy()
    b[0, 0] = 0
    exact = stats.binom.cdf(1, 400, 0.01)
    assert float(crossed(a, b, unit=1.0).these_models().p_equivalent(0.01)) == pytest.approx(exact, abs=0.03)


def estimates(*means: float, sd: float = 0.002) -> list[Estimate]:
    part = Part(np.array(sd**2), np.array(1000.0))
    return [Estimate(np.array(mean), (part,), part) for mean in means]


def test_words_follow_the_corrected_tests_and_equality_goes_first():
    found = decide([Question(e, "examples", 0.01) for e in estimates(0.05, -0.05, 0.0, 0.006, 0.0105)])
    # 0.006 is three standard errors from 0, and two from the margin: Holm's third smallest of five.
    assert [d.word for d in found] == ["better", "worse", "practically equal", "better", "better"]
    both = decide([Question(e, "examples", 0.02) for e in estimates(0.008)])
    assert both[0].word == "practically equal" and both[0].difference < 0.05


def test_families_are_corrected_by_statsmodels_holm_one_population_at_a_time():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    made = estimates(0.004, 0.005, -0.003, 0.0, 0.02)
    questions = [Question(e, population, 0.01) for e in made for population in ("examples", "tasks")]
    found = decide(questions)
    for population in ("examples", "tasks"):
        own = [d for d in found if d.population == population]
        for name, p in (
            ("difference", [float(e.p_different()) for e in made]),
            ("equivalence", [float(e.p_equivalent(0.01)) for e in made]),
        ):
            expected = multitest.multipletests(p, method="holm")[1]
            assert [getattr(d, name) for d in own] == pytest.approx(expected)


def design(mean: float, seeds: int, examples: int, sd: tuple[float, float, float]) -> Crossed:
    """With the components as they truly are."""
    residual = sd[2] ** 2 / (seeds * examples)
    variances = (sd[0] ** 2 / seeds + residual, sd[1] ** 2 / examples + residual, residual)
    return Crossed(np.array(mean), *map(np.array, variances), seeds, examples, examples - 1)


def needed(planned: Crossed) -> tuple[int | None, int | None]:
    found = decide([Question(planned.other_seeds(), "examples and seeds", 0.01, planned)])[0]
    assert found.word == "undecided"
    return found.seeds, found.examples


def share_decided(said: str, mean: float, seeds: int, examples: int, sd: tuple[float, float, float]) -> float:
    d = np.stack([layered(seeds, examples, sd, mean, seed) for seed in range(100)])
    wide = crossed(d, np.zeros_like(d), unit=0.0).other_seeds()
    assert wide is not None
    each = zip(wide.mean, wide.p_different(), wide.p_equivalent(0.01), strict=True)
    return float(np.mean([word(*found) == said for found in each]))


SPREADS = (0.006, 0.08, 0.08)


@pytest.mark.parametrize(("mean", "said", "examples"), [(0.014, "better", 500), (0.0, "practically equal", 1_000)])
def test_as_many_seeds_as_are_said_to_decide_do_so_in_four_of_five_trials(mean: float, said: str, examples: int):
    seeds, _ = needed(design(mean, 3, examples, SPREADS))
    assert seeds is not None and 3 < seeds < 30
    assert share_decided(said, mean, seeds, examples, SPREADS) == pytest.approx(0.8, abs=0.12)


@pytest.mark.parametrize(("mean", "said"), [(0.014, "better"), (0.0, "practically equal")])
def test_as_many_examples_as_are_said_to_decide_do_so_in_four_of_five_trials(mean: float, said: str):
    _, examples = needed(design(mean, 9, 100, SPREADS))
    assert examples is not None and 100 < examples < 10_000
    assert share_decided(said, mean, 9, examples, SPREADS) == pytest.approx(0.8, abs=0.12)


def test_no_number_is_promised_where_none_would_decide():
    # 2.2 standard errors of the examples, whatever the seeds; and seeds that differ more than the effect.
    assert needed(design(0.0176, 3, 100, SPREADS))[0] is None
    assert needed(design(0.02, 3, 300, (0.05, 0.08, 0.08)))[1] is None


@pytest.mark.parametrize(
    ("suite", "metric", "usual", "expected"),
    [
        ({}, Metric("accuracy"), 0.8, 0.01),
        ({"margin": 2}, Metric("accuracy"), 0.8, 0.02),
        ({"margin": 0.5}, Metric("matthews", low=-1), 0.4, 0.005),
        ({}, Metric("bleu", low=0, high=100), 30.0, 1.0),
        ({}, Metric("perplexity", higher_is_better=False, low=1, high=None), -20.0, 0.2),
        ({"margin": "wide"}, Metric("accuracy"), 0.8, 0.01),  # a stranger's manifest
        ({"margin": True}, Metric("accuracy"), 0.8, 0.01),
    ],
)
def test_margins_are_points_or_as_large_a_share(suite: dict, metric: Metric, usual: float, expected: float):
    assert margin_of(Scale(metric), suite, usual) == pytest.approx(expected)
