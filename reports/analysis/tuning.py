"""What a search for hyperparameters found, what it took, and what fewer trials would have found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from records.tuning import Search, Trial
from reports.results import Results, select
from reports.scales import Scale

# Values within this factor of the best are near it.
NEAR = 3.0


@dataclass(frozen=True)
class Tuned:
    """A finished search with a choice. Scores are validation scores as they are held, one for each trial that has one:
    at its end where all trials were trained to theirs (`in_full`), else at the `first` rung, which all reached.

    `steps` and `seconds` are what the search took, `whole_steps` what its trials would have taken to their ends,
    `flops` is None where steps were not profiled. `stopped` trials were ended early, `failed` ones have no score.
    `expected` is the expected best score of 1, 2, … trials. `at_edge`: of the first hyperparameter no lower, or no
    higher, value than the chosen one was tried. `fall` is how far the mean of the trials within a factor NEAR of the
    chosen one lies below it (None where there are none), in the scores above. `error` is the standard error over
    examples of the chosen trial's score; `missed` how far it lies below the best of all trials at their ends, where
    these are known.
    """

    search: Search
    family: str
    chosen: Trial
    score: float
    scores: dict[int, float]
    in_full: bool
    steps: int
    whole_steps: int
    seconds: float
    flops: float | None
    stopped: int
    failed: int
    expected: tuple[float, ...]
    at_edge: bool
    fall: float | None
    error: float | None
    missed: float | None

    @property
    def share(self) -> float:
        """What the search took of what its trials would have taken to their ends."""
        return self.steps / self.whole_steps

    @property
    def hit(self) -> bool | None:
        """Whether the chosen trial lies within a standard error of the best of all; None where that is not known."""
        return None if self.missed is None or self.error is None else self.missed <= self.error

    @property
    def cells(self) -> tuple[str, ...]:
        """The ids of the records behind it, in the search's own folder."""
        return tuple(
            cell for trial in self.search.trials for reached in trial.reached.values() for cell in reached.cells
        )


def tuned(results: Results, searches: Sequence[Search]) -> list[Tuned]:
    """One for each search that has come to a choice, in the order of the results' axes."""

    def place(search: Search) -> tuple[int, int, int]:
        axes = ((results.backbones, search.backbone), (results.tasks, search.task), (results.labels, search.label))
        backbone, task, label = (names.index(name) for names, name in axes)
        return backbone, task, label

    return [found for search in sorted(searches, key=place) if (found := _tuned(results, search)) is not None]


def _tuned(results: Results, search: Search) -> Tuned | None:
    chosen = search.chosen
    if chosen is None:
        return None
    scale, full = results.scale(search.task), search.in_full
    at = 1.0 if full else search.tuning.rungs[0]
    scores = {t.number: scale.raw(s) for t in search.trials if (s := t.at(at).score) is not None}
    score, name = _held(scale, chosen, 1.0), search.space[0].name
    steps, seconds = search.spent
    tried = [trial.values[name] for trial in search.trials]
    near = [n for n in scores if n != chosen.number and _near(search.trials[n].values[name], chosen.values[name])]
    own = select(results.scored, backbone=search.backbone, task=search.task, label=search.label)
    flops = own["train_flops"].mean()
    return Tuned(
        search=search,
        family=results.family_of(search.label),
        chosen=chosen,
        score=score,
        scores=scores,
        in_full=bool(full),
        steps=steps,
        whole_steps=len(search.trials) * chosen.at(1.0).total,
        seconds=seconds,
        flops=None if math.isnan(flops) else steps * float(flops),
        stopped=sum(search.stopped(trial) < 1 and trial.number in scores for trial in search.trials),
        failed=sum(trial.hopeless for trial in search.trials),
        expected=tuple(expected_best(_with_failures(scores, len(search.trials)))),
        at_edge=chosen.values[name] in (min(tried), max(tried)),
        fall=scores[chosen.number] - sum(scores[n] for n in near) / len(near) if near else None,
        error=search.error(chosen),
        missed=_held(scale, full[0], 1.0) - score if full else None,
    )


def _held(scale: Scale, trial: Trial, rung: float) -> float:
    score = trial.at(rung).score
    assert score is not None
    return scale.raw(score)


def _near(rate: float, chosen: float) -> bool:
    return max(rate / chosen, chosen / rate) <= NEAR


def _with_failures(scores: dict[int, float], trials: int) -> list[float]:
    """A trial without a score counts as the worst that has one."""
    return [*scores.values(), *[min(scores.values())] * (trials - len(scores))]


def expected_best(scores: Sequence[float]) -> list[float]:
    """The expected best of n = 1, 2, … draws from the scores, each with the same chance (Dodge et al. 2019, Show Your
    Work: Improved Reporting of Experimental Results, EMNLP): the i-th lowest of N is the best with a chance of
    (i/N)ⁿ − ((i−1)/N)ⁿ."""
    low, total = sorted(scores), len(scores)

    def chance(i: int, n: int) -> float:
        return float((i / total) ** n - ((i - 1) / total) ** n)

    return [sum(value * chance(i, n) for i, value in enumerate(low, 1)) for n in range(1, total + 1)]
