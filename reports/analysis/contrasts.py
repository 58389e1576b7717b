"""Every configuration against the reference: differences of scores, and what may be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.crossed import Crossed, Estimate, Part, crossed, resampled, sample
from reports.analysis.decisions import MOST_EXAMPLES, MOST_SEEDS, Decision, Population, Question, decide, margin_of
from reports.analysis.proportions import Shares
from reports.analysis.ranks import MIN_TASKS
from reports.analysis.statistics import Comparison, compare_paired, seeds_needed
from reports.analysis.summaries import Summaries, seeds_of
from reports.outcomes import Outcomes
from reports.results import Results

Kept = Mapping[tuple[str, str], Outcomes]


@dataclass(frozen=True)
class Contrast:
    """A label against the reference on one task. `comparison` is over the seeds that both have, whatever was kept of
    examples. `decisions` have the widest population first; there is none where nothing can be tested."""

    backbone: str
    task: str
    label: str
    comparison: Comparison
    ids: tuple[str, ...]
    decisions: tuple[Decision, ...] = ()

    @property
    def decision(self) -> Decision | None:
        """About the widest population on which the data decide; undecided, about the widest that was asked."""
        return next((each for each in self.decisions if each.decided), next(iter(self.decisions), None))


@dataclass(frozen=True)
class Overall:
    """A label against the reference over `tasks`, of a mean score each, for other tasks of their kind."""

    backbone: str
    label: str
    tasks: tuple[str, ...]
    decision: Decision


def compare_with_reference(
    results: Results, scored: Summaries, kept: Kept, shares: Sequence[Shares] = ()
) -> list[Contrast]:
    """Every label with the reference, for every backbone and task that has both. `kept` is what is known of examples;
    of pairs of which it knows nothing, seeds alone can tell, if they are enough, and of one seed `shares`."""
    asked = list(_asked(results, scored, kept))
    answers = iter(decide([question for _, questions in asked for question in questions]))
    found = [replace(contrast, decisions=tuple(next(answers) for _ in questions)) for contrast, questions in asked]
    places = {(of.backbone, of.task): of for of in shares}
    return [each if each.decisions else _shared(each, places, results.reference or "") for each in found]


def _shared(contrast: Contrast, places: Mapping[tuple[str, str], Shares], reference: str) -> Contrast:
    """What the number of examples tells, as it is told of all pairs."""
    of = places.get((contrast.backbone, contrast.task))
    decision = of and of.decision(contrast.label, reference)
    return replace(contrast, decisions=(decision,)) if decision else contrast


def _asked(results: Results, scored: Summaries, kept: Kept) -> Iterator[tuple[Contrast, list[Question]]]:
    reference = results.reference
    if reference is None:
        return
    for backbone in results.backbones:
        for task in results.tasks:
            theirs = scored.cells(backbone, task, reference)
            margin = margin_of(results.scale(task), results.suite, float(theirs["score"].mean()))
            for label in results.labels:
                own = scored.cells(backbone, task, label)
                scores = seeds_of(own), seeds_of(theirs)
                comparison = compare_paired(*scores)
                if label != reference and comparison.n:
                    unit = 1.0 if results.scale(task).in_points else None
                    layout = layout_of(kept.get((backbone, task)), (label, reference), scores, unit)
                    ids = (*own.index, *theirs.index)
                    yield Contrast(backbone, task, label, comparison, ids), _questions(comparison, layout, margin)


def _questions(comparison: Comparison, layout: Crossed | None, margin: float) -> list[Question]:
    """The widest population first."""
    if layout is None:
        return [Question(_of_seeds(comparison), "seeds", margin)] if comparison.p is not None else []
    estimates: dict[Population, Estimate | None] = {
        "examples and seeds": layout.other_seeds(),
        "examples": layout.these_models(),
    }
    return [Question(each, name, margin, layout) for name, each in estimates.items() if each is not None]


def _of_seeds(comparison: Comparison) -> Estimate:
    assert comparison.sd is not None
    part = Part(np.asarray(comparison.sd**2 / comparison.n), np.asarray(comparison.n - 1.0))
    return Estimate(np.asarray(comparison.mean), (part,), part)


def layout_of(
    kept: Outcomes | None,
    labels: tuple[str, str],
    scores: tuple[Mapping[int, float], Mapping[int, float]],
    unit: float | None,
    factor: float = 1.0,
) -> Crossed | None:
    """The scores of the first label minus `factor` times those of the second, by the seeds in `scores` of which both
    have kept what they answered; None where there are none, or values are no numbers."""
    if kept is None or len(kept.examples) < 2:
        return None
    values = kept.scores if kept.by_example else kept.draws
    own, theirs = (values.get(label, {}) for label in labels)
    seeds = [seed for seed in sorted(own.keys() & theirs.keys()) if all(seed in each for each in scores)]
    if not seeds:
        return None
    a, b = np.stack([own[seed] for seed in seeds]), factor * np.stack([theirs[seed] for seed in seeds])
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    if kept.by_example:
        layout = crossed(a, b, unit)
    else:
        gaps = [scores[0][seed] - factor * scores[1][seed] for seed in seeds]
        layout = resampled(gaps, a - b, len(kept.examples))
    # Without any spread there is no test.
    return layout if layout.over_examples > 0 else None


def over_tasks(results: Results, contrasts: Sequence[Contrast]) -> list[Overall]:
    """Over the tasks whose scores have one meaning, where there are enough: a paired test over tasks."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for contrast in contrasts:
        found.setdefault((contrast.backbone, contrast.label), {})[contrast.task] = contrast.comparison.mean
    asked = []
    for place, means in found.items():
        tasks = results.averaged(means)
        estimate = sample([means[task] for task in tasks]) if len(tasks) >= MIN_TASKS else None
        if estimate is not None and estimate.parts[0].variance > 0:
            margin = margin_of(results.scale(tasks[0]), results.suite, 0.0)
            asked.append((place, tasks, Question(estimate, "tasks", margin)))
    decisions = decide([question for *_, question in asked])
    return [Overall(*place, tasks, decision) for (place, tasks, _), decision in zip(asked, decisions, strict=True)]


@dataclass(frozen=True)
class Tested:
    """What contrasts show: which are decided and about which a test leaves the matter open; the others are not tested.

    `pairs` is the greatest number of seeds in common. `sd`, a fraction, is the median standard deviation of the paired
    differences of scores in points, None without any; `seeds` is how many a test over seeds alone needs, given it, to
    find a difference of one point with 80 % power before correction (None: more than 1,000).
    """

    decided: tuple[Contrast, ...]
    undecided: tuple[Contrast, ...]
    pairs: int
    sd: float | None
    seeds: int | None

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Those with a verdict, "undecided" among them."""
        return self.decided + self.undecided

    @property
    def decisions(self) -> list[Decision]:
        """Of those."""
        return [contrast.decision for contrast in self.contrasts if contrast.decision is not None]

    @property
    def planned(self) -> list[tuple[Contrast, Decision]]:
        """Those that are undecided about the widest population, with that decision, as far as a number of seeds or
        examples would decide; the nearest first."""
        found = [(c, c.decisions[0]) for c in self.contrasts if c.decisions[0].seeds or c.decisions[0].examples]
        return sorted(found, key=lambda pair: (pair[1].seeds or MOST_SEEDS + 1, pair[1].examples or MOST_EXAMPLES + 1))


ONE_POINT = 0.01


def tested(results: Results, contrasts: Sequence[Contrast]) -> Tested:
    """Counts what is tested among the contrasts."""
    spreads = [c.comparison.sd for c in contrasts if c.comparison.sd and results.scale(c.task).in_points]
    sd = float(np.median(spreads)) if spreads else None
    return Tested(
        decided=tuple(c for c in contrasts if c.decision and c.decision.decided),
        undecided=tuple(c for c in contrasts if c.decision and not c.decision.decided),
        pairs=max((c.comparison.n for c in contrasts), default=0),
        sd=sd,
        seeds=None if sd is None else seeds_needed(sd, ONE_POINT),
    )
