"""Two configurations on one test set, by seed and example: how far chance may have moved the difference of their means.

The test examples are the same for all seeds, so that the two sources of chance are crossed: the difference on seed s
and example i is d = μ + seed + example + rest. Arrays in, arrays out; nothing here knows a results folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import elementwise

from reports.analysis.statistics import Effect

Numbers = NDArray[np.float64]

# What is rarer is written as this.
RAREST = 1e-100


class Part(NamedTuple):
    """An estimated variance and its degrees of freedom."""

    variance: Numbers
    dof: Numbers


@dataclass(frozen=True)
class Estimate:
    """A mean difference for one population. The variance of `mean` is the sum of `parts`, which are estimated
    independently, and is taken to be no smaller than `least`. All may be arrays of one shape.

    `whole` is the number of examples where each is either right or wrong, else infinite: if the means are θ apart, at
    least a share |θ| of the examples is answered otherwise, which bounds the variance from below when "θ apart" is
    tested.

    Intervals and tests are Banerjee's (1960): with t the quantile of Student's t for each part, the interval of half
    width √Σ t²·variance covers at least as often as it says, whatever the parts' true sizes. Satterthwaite's degrees of
    freedom would find more, but with three seeds and eight comparisons after Holm they erred in up to 18 of 100 suites:
    a part with two degrees of freedom is often estimated far too small, and then hides how uncertain it is.
    """

    mean: Numbers
    parts: tuple[Part, ...]
    least: Part
    whole: float | Numbers = np.inf

    def reach(self, tail: float) -> Numbers:
        """Half the width of the interval with the probability `tail` on either side."""
        return np.sqrt(_squared_reach(np.log(tail), *_flat(self.parts, self.least)))

    def interval(self, level: float = 0.95) -> tuple[Numbers, Numbers]:
        """Confidence interval."""
        reach = self.reach((1 - level) / 2)
        return self.mean - reach, self.mean + reach

    def p_above(self, threshold: ArrayLike = 0.0) -> Numbers:
        """One-sided p-value against "the truth is at most `threshold`"."""
        threshold = np.asarray(threshold, dtype=float)
        apart = np.abs(threshold)
        bound = apart * np.maximum(1 - apart, 0) / self.whole
        least = self.least._replace(variance=np.maximum(self.least.variance, bound))
        distance = self.mean - threshold
        tail = _tail(np.abs(distance), self.parts, least)
        return np.where(distance > 0, tail, 1 - tail)

    def p_below(self, threshold: ArrayLike = 0.0) -> Numbers:
        """One-sided p-value against "the truth is at least `threshold`"."""
        return replace(self, mean=-self.mean).p_above(-np.asarray(threshold))

    def p_different(self) -> Numbers:
        """Two-sided p-value against "there is no difference"."""
        return 2 * replace(self, mean=np.abs(self.mean)).p_above()

    def p_equivalent(self, margin: ArrayLike) -> Numbers:
        """Two one-sided tests (Schuirmann 1987): p-value against "the truth is `margin` or more away from 0", which
        the nearer of the two decides."""
        return replace(self, mean=np.abs(self.mean)).p_below(margin)


def stacked(estimates: Sequence[Estimate]) -> Estimate:
    """Several single estimates of the same parts as one of arrays (n,)."""
    flat = np.array([_flat(each.parts, each.least) for each in estimates], dtype=float)
    least, *parts = (Part(flat[:, at], flat[:, at + 1]) for at in range(0, flat.shape[1], 2))
    whole = np.array([each.whole for each in estimates], dtype=float)
    return Estimate(np.array([each.mean for each in estimates], dtype=float), tuple(parts), least, whole)


def _flat(parts: tuple[Part, ...], least: Part) -> list[ArrayLike]:
    return [each for part in (least, *parts) for each in part]


def _squared_reach(log_tail: ArrayLike, *flat: ArrayLike) -> Numbers:
    least, *parts = (v * special.stdtrit(dof, np.exp(log_tail)) ** 2 for v, dof in zip(*[iter(flat)] * 2, strict=True))
    squared: Numbers = np.maximum(least, sum(parts))
    return squared


def _tail(distance: Numbers, parts: tuple[Part, ...], least: Part) -> Numbers:
    """The probability on either side of the interval that reaches just as far as `distance`, at most a half."""
    distance, *flat = np.broadcast_arrays(distance, *_flat(parts, least))
    bounds = np.full(distance.shape, np.log(RAREST)), np.full(distance.shape, np.log(0.5))
    found = elementwise.find_root(lambda log, d, *of: _squared_reach(log, *of) - d**2, bounds, args=(distance, *flat))
    beyond = _squared_reach(bounds[0], *flat) <= distance**2
    return np.where(distance == 0, 0.5, np.where(beyond, RAREST, np.exp(found.x)))


@dataclass(frozen=True)
class Crossed:
    """The mean difference, and the mean squares of its analysis of variance, each divided by seeds × examples, so that
    it is a variance of the mean: of seeds, of examples, and of their residual. Arrays may be of any one shape.

    `dof` are the degrees of freedom of the examples. `over_seeds` is None for a single seed.
    """

    mean: Numbers
    over_seeds: Numbers | None
    over_examples: Numbers
    residual: Numbers
    seeds: int | Numbers
    examples: int | Numbers
    dof: float | Numbers
    whole: bool = False

    def these_models(self) -> Estimate:
        """For these models on other examples: seeds are fixed."""
        part = Part(self.over_examples, np.asarray(self.dof))
        return Estimate(self.mean, (part,), part, self.examples if self.whole else np.inf)

    def other_seeds(self) -> Estimate | None:
        """For other seeds on other examples; None for a single seed. Never narrower than for these models."""
        if self.over_seeds is None:
            return None
        # What examples add that the spread of the seeds' means does not hold already.
        shared = Part(np.maximum(self.over_examples - self.residual, 0), np.asarray(self.dof))
        seeds = Part(self.over_seeds, np.asarray(self.seeds - 1.0))
        return replace(self.these_models(), parts=(seeds, shared))

    def at(self, seeds: int | Numbers, examples: int | Numbers) -> Crossed:
        """What is expected with other numbers of seeds and examples, given these components of variance; `seeds` stay
        where there is one."""
        fewer = self.examples / examples
        dof = np.where(self.dof == self.examples - 1, examples - 1, self.dof)
        if self.over_seeds is None:
            return replace(self, over_examples=self.over_examples * fewer, examples=examples, dof=dof)
        scale = self.seeds / seeds
        residual = self.residual * fewer * scale
        return replace(
            self,
            over_seeds=np.maximum(self.over_seeds - self.residual, 0) * scale + residual,
            over_examples=np.maximum(self.over_examples - self.residual, 0) * fewer + residual,
            residual=residual,
            seeds=seeds,
            examples=examples,
            dof=dof,
        )


def together(layouts: Sequence[Crossed], seeds: bool) -> Crossed:
    """Several single layouts as one of arrays (n, 1), for planning; with one seed each unless `seeds`."""

    def column(values: Iterable[ArrayLike | None]) -> Numbers:
        return np.array(list(values), dtype=float)[:, None]

    return Crossed(
        mean=column(each.mean for each in layouts),
        over_seeds=column(each.over_seeds for each in layouts) if seeds else None,
        over_examples=column(each.over_examples for each in layouts),
        residual=column(each.residual for each in layouts),
        seeds=column(each.seeds for each in layouts),
        examples=column(each.examples for each in layouts),
        dof=column(each.dof for each in layouts),
    )


def crossed(a: ArrayLike, b: ArrayLike, unit: float | None = None) -> Crossed:
    """From the values of two configurations by seed and example, (…, seeds, examples) each, where the metric is their
    mean. `unit` is the most by which two configurations can differ on an example, None: the range of the values.

    Where hardly an example is answered otherwise, the observed variance says little: it is taken to be no smaller than
    if one example spoke for either side, so that without any difference the interval is about as wide as the rule of
    three says. For one seed and answers that are right or wrong, t² = χ² (n - 1) / (n - χ²), with McNemar's χ².
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    d = a - b
    seeds, examples = d.shape[-2:]
    if unit is None:
        unit = float(max(a.max(), b.max()) - min(a.min(), b.min()))
    by_seed, by_example = d.mean(axis=-1), d.mean(axis=-2)
    mean = by_seed.mean(axis=-1)
    variance = np.maximum(by_example.var(axis=-1, ddof=1), 2 * unit**2 / (examples - 1))
    residual = np.zeros_like(mean)
    if seeds > 1:
        rest = d - by_seed[..., :, None] - by_example[..., None, :] + mean[..., None, None]
        residual = (rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * (examples - 1) * seeds * examples)
    return Crossed(
        mean=mean,
        over_seeds=by_seed.var(axis=-1, ddof=1) / seeds if seeds > 1 else None,
        over_examples=variance / examples,
        residual=residual,
        seeds=seeds,
        examples=examples,
        dof=examples - 1,
        whole=bool(np.isin(np.abs(a), (0, 1)).all() and np.isin(np.abs(b), (0, 1)).all()),
    )


def resampled(differences: ArrayLike, draws: ArrayLike, examples: int) -> Crossed:
    """Where the metric is no mean over examples: from its differences by seed (seeds,), and on the same draws of the
    examples for all (seeds, draws). Draws take the place of examples: what they share between seeds is the examples'
    part, what they do not is in the spread of the seeds' differences too, as rest."""
    d, drawn = np.asarray(differences, dtype=float), np.asarray(draws, dtype=float)
    seeds, times = drawn.shape
    by_draw = drawn.mean(axis=0)
    residual = np.zeros(())
    if seeds > 1:
        rest = drawn - drawn.mean(axis=1, keepdims=True) - by_draw + drawn.mean()
        residual = (rest**2).sum() / ((seeds - 1) * (times - 1) * seeds)
    return Crossed(
        mean=d.mean(),
        over_seeds=d.var(ddof=1) / seeds if seeds > 1 else None,
        over_examples=by_draw.var(ddof=1),
        residual=residual,
        seeds=seeds,
        examples=examples,
        dof=times - 1,
    )


@dataclass(frozen=True)
class MeanOverTasks(Effect):
    """The mean over tasks of the differences on each, for these tasks; `population` as in `decisions`."""

    estimate: Estimate
    mean: float
    n: int
    tasks: int
    population: Literal["examples", "examples and seeds"]

    def p_above(self, threshold: float = 0.0) -> float:
        return float(self.estimate.p_above(threshold))

    def p_below(self, threshold: float = 0.0) -> float:
        return float(self.estimate.p_below(threshold))

    def interval(self, level: float) -> tuple[float, float]:
        low, high = self.estimate.interval(level)
        return float(low), float(high)


def over_tasks(layouts: Sequence[Crossed]) -> MeanOverTasks:
    """Of a layout per task. Where one of them has a single seed, all is about these models. Seeds and examples of
    different tasks are independent, so that their parts add up."""
    wide = [layout.other_seeds() for layout in layouts]
    estimates = [each for each in wide if each is not None]
    population: Literal["examples", "examples and seeds"] = "examples and seeds"
    if len(estimates) < len(layouts):
        population, estimates = "examples", [layout.these_models() for layout in layouts]
    n = len(layouts)
    mean = np.mean([each.mean for each in estimates], axis=0)
    parts = tuple(Part(part.variance / n**2, part.dof) for each in estimates for part in each.parts)
    least = Part(
        np.sum([each.least.variance for each in estimates], axis=0) / n**2,
        np.min([each.least.dof for each in estimates], axis=0),
    )
    whole = estimates[0].whole if n == 1 else np.inf
    pairs = int(np.sum([layout.seeds for layout in layouts]))
    return MeanOverTasks(Estimate(np.asarray(mean), parts, least, whole), float(mean), pairs, n, population)


def sample(differences: ArrayLike) -> Estimate:
    """From one difference each of several seeds, or tasks, for others of their kind: Student's paired test."""
    d = np.asarray(differences, dtype=float)
    part = Part(d.var(axis=-1, ddof=1) / d.shape[-1], np.asarray(d.shape[-1] - 1.0))
    return Estimate(d.mean(axis=-1), (part,), part)
