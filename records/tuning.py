"""A search for hyperparameters, as running and reporting agree on it: what is asked for, which trials go on, which is
chosen. All of it follows from a folder's manifest and records, so that it is computed where it is needed, and stored
nowhere.

Trials that do badly stop early (Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter
Optimization: successive halving): at each rung, a share of the steps, the best go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from records.cards import Cards, Metric, Range
from records.cell import Cell
from records.record import Manifest, Record

# The folder in a results folder that holds its search.
FOLDER = "tuning"
# What stands after a label whose hyperparameters were found by the search.
TUNED = "tuned"
# Metrics that are the mean of a yes or no over the examples, whose standard error follows from their number.
PROPORTIONS = ("accuracy", "exact_match")

Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Sampler = Literal["sobol", "random"]


class Tuning(BaseModel):
    """How hyperparameters are searched, alike for every method."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(8, ge=2, le=1024, description="how many each method gets")
    seeds: tuple[Seed, ...] = Field((100,), min_length=1, description="of the trials; none is a seed of the suite")
    task: str | None = Field(None, description="the one task to search on, for all; by default each has its own search")
    train_examples: int | None = Field(None, ge=1, description="in place of the budget's")
    validation_examples: int | None = Field(None, ge=1, description="in place of the budget's")
    other_examples: bool = Field(
        False, description="whether trials are validated on other examples than those that the suite's cells have"
    )
    sampler: Sampler = Field("sobol", description="how trials are spread over a range: evenly, or by chance alone")
    rungs: tuple[Share, ...] = Field(
        (0.1667, 0.5, 1.0),
        min_length=1,
        description="shares of the steps after which trials are compared; the last is 1",
    )
    kept: tuple[Share, ...] = Field(
        (0.375, 0.25), description="after each rung but the last, the share of all trials that goes on"
    )

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is there twice")
        return value

    @field_validator("rungs")
    @classmethod
    def _rise_to_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 1:
            raise ValueError("rungs rise to 1, which is the end of a trial, as in [0.25, 1]")
        return value

    @field_validator("kept")
    @classmethod
    def _falls(cls, value: tuple[float, ...], info: Any) -> tuple[float, ...]:
        rungs = info.data.get("rungs")
        if rungs is not None and len(value) != len(rungs) - 1:
            raise ValueError(f"takes a share for each of the rungs but the last, {len(rungs) - 1}")
        if list(value) != sorted(value, reverse=True):
            raise ValueError("of later rungs no more can be kept than of earlier ones")
        return value

    @property
    def counts(self) -> tuple[int, ...]:
        """How many trials reach each rung."""
        return (self.trials, *(max(1, math.ceil(share * self.trials - 1e-9)) for share in self.kept))

    @property
    def cost(self) -> float:
        """What a search takes, as a share of what its trials would if all were trained to their end."""
        further = [rung - before for rung, before in zip(self.rungs, (0.0, *self.rungs[:-1]), strict=True)]
        return sum(n * steps for n, steps in zip(self.counts, further, strict=True)) / self.trials


@dataclass(frozen=True)
class Reached:
    """How a trial stands at a rung: the mean over its seeds of the primary validation metric and of the validation
    loss. `score` is None where a seed has none, with the `reason`. `steps` and `seconds` are what all seeds together
    took since the rung before, `total` the steps since the trial's beginning, `examples` on how many each was
    validated."""

    cells: tuple[str, ...]
    score: float | None = None
    loss: float = math.inf
    steps: int = 0
    total: int = 0
    seconds: float = 0.0
    examples: int = 0
    reason: str = ""
    done: bool = False


@dataclass(frozen=True)
class Trial:
    """One choice of the hyperparameters that are searched; `reached` has what there is of each rung's share."""

    number: int
    values: dict[str, float]
    reached: Mapping[float, Reached]

    def at(self, rung: float) -> Reached:
        """How it stands there; as without any cell where it has none."""
        return self.reached.get(rung, Reached(()))

    @property
    def hopeless(self) -> bool:
        """Whether it failed, or does not apply: no larger share of its steps would give it a score."""
        return any(reached.done and reached.score is None for reached in self.reached.values())


@dataclass(frozen=True)
class Search:
    """The search of one configuration on one backbone and task."""

    backbone: str
    task: str
    label: str
    method: str
    tuning: Tuning
    space: tuple[Range, ...]
    metric: Metric
    trials: tuple[Trial, ...]

    @cached_property
    def rungs(self) -> tuple[tuple[Trial, ...], ...]:
        """The trials that reach each rung, as far as the rungs before are done. One without a score goes no further."""
        found = [self.trials]
        for rung, n in zip(self.tuning.rungs, self.tuning.counts[1:], strict=False):
            if not all(trial.at(rung).done for trial in found[-1]):
                break
            found.append(tuple(self.ranked(found[-1], rung)[:n]))
        return tuple(found)

    def ranked(self, trials: Iterable[Trial], rung: float) -> list[Trial]:
        """Those that have a score, the best first: of equal ones that with the lower validation loss, as for
        checkpoints, and then the one drawn first."""

        def standing(trial: Trial) -> tuple[float, float, int]:
            reached = trial.at(rung)
            assert reached.score is not None
            return -self.metric.standing(reached.score), reached.loss, trial.number

        return sorted((t for t in trials if t.at(rung).score is not None), key=standing)

    @property
    def finished(self) -> bool:
        """Whether the search has come to its end."""
        return len(self.rungs) == len(self.tuning.rungs) and all(trial.at(1.0).done for trial in self.rungs[-1])

    @property
    def chosen(self) -> Trial | None:
        """The best of those that were trained to their end; None where none was."""
        return next(iter(self.ranked(self.rungs[-1], 1.0)), None) if self.finished else None

    @property
    def in_full(self) -> list[Trial]:
        """All trials, the best first, where each was trained to its end, whatever the search would have stopped; else
        nothing."""
        done = self.finished and all(trial.at(1.0).done or trial.hopeless for trial in self.trials)
        return self.ranked(self.trials, 1.0) if done else []

    def error(self, trial: Trial) -> float | None:
        """The standard error of a trial's score at its end over the validation examples, which all its seeds share;
        None of a metric of which the number of examples does not tell it."""
        reached = trial.at(1.0)
        if self.metric.name not in PROPORTIONS or reached.score is None or not reached.examples:
            return None
        return math.sqrt(reached.score * (1 - reached.score) / reached.examples)

    @property
    def spent(self) -> tuple[int, float]:
        """Optimiser steps and seconds of all trials, as far as the search itself took them."""
        own = [t.at(rung) for rung, there in zip(self.tuning.rungs, self.rungs, strict=False) for t in there]
        return sum(reached.steps for reached in own), sum(reached.seconds for reached in own)

    def stopped(self, trial: Trial) -> float:
        """The last rung that a trial reached in the search."""
        return [rung for rung, there in zip(self.tuning.rungs, self.rungs, strict=False) if trial in there][-1]


def read(manifest: Manifest, records: Mapping[str, Record]) -> list[Search]:
    """All searches of a folder. Raises ValueError on the manifest of something else."""
    try:
        tuning = Tuning.model_validate(manifest.suite.get("tuning"))
        spaces = TypeAdapter(dict[str, tuple[Range, ...]]).validate_python(manifest.suite.get("spaces"))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"holds no search: {'.'.join(map(str, first['loc'])) or 'tuning'}: {first['msg']}") from None
    return searches(tuning, spaces, manifest.cards, manifest.cells, records)


def searches(
    tuning: Tuning,
    spaces: Mapping[str, tuple[Range, ...]],
    cards: Cards,
    cells: Mapping[str, Cell],
    records: Mapping[str, Record],
) -> list[Search]:
    """By backbone, task and label, in the order of the cells, which is also that in which trials were drawn."""
    places: dict[tuple[str, str, str], dict[tuple[float, ...], list[tuple[str, Cell]]]] = {}
    for cell_id, cell in cells.items():
        if space := spaces.get(cell.label):
            values = tuple(cell.hyperparameters.get(each.name, math.nan) for each in space)
            at = places.setdefault((cell.backbone, cell.task, cell.label), {})
            at.setdefault(values, []).append((cell_id, cell))
    found = []
    for (backbone, task, label), by_values in places.items():
        card, space = cards.tasks.get(task), spaces[label]
        metric = card.primary if card and card.metrics else Metric("score")
        trials = tuple(
            Trial(number, dict(zip((r.name for r in space), values, strict=True)), _reached(own, records, metric))
            for number, (values, own) in enumerate(by_values.items())
        )
        method = next(iter(by_values.values()))[0][1].method
        found.append(Search(backbone, task, label, method, tuning, space, metric, trials))
    return found


def _reached(cells: Sequence[tuple[str, Cell]], records: Mapping[str, Record], metric: Metric) -> dict[float, Reached]:
    by_rung: dict[float, list[tuple[str, Cell]]] = {}
    for cell_id, cell in cells:
        by_rung.setdefault(cell.stop or 1.0, []).append((cell_id, cell))
    found, before = {}, dict.fromkeys((cell.seed for _, cell in cells), 0)
    for rung, own in sorted(by_rung.items()):
        there = {cell.seed: record for i, cell in own if (record := records.get(i)) and record.status != "broken"}
        totals = {seed: record.data.steps if record.data else 0 for seed, record in there.items()}
        # Where it did not go on from the rung before, all of it was done again.
        went_on = {seed: before[seed] for seed, record in there.items() if (record.resumed_from or 0) >= before[seed]}
        found[rung] = Reached(
            cells=tuple(cell_id for cell_id, _ in own),
            steps=sum(total - went_on.get(seed, 0) for seed, total in totals.items()),
            total=sum(totals.values()),
            seconds=sum(record.seconds for record in there.values()),
            examples=max((record.data.validation or 0 for record in there.values() if record.data), default=0),
            reason=next((r.reason or r.status for r in there.values() if r.status in ("failed", "n/a")), ""),
            done=len(there) == len(own),
        )
        scores = [_score(record, metric) for record in there.values()]
        if found[rung].done and all(math.isfinite(score) for score, _ in scores):
            score, loss = (sum(each) / len(scores) for each in zip(*scores, strict=True))
            found[rung] = replace(found[rung], score=score, loss=loss)
        before |= totals
    return found


def _score(record: Record, metric: Metric) -> tuple[float, float]:
    """Of the best checkpoint so far; before the last phase, of which alone checkpoints are kept, of the last look."""
    if record.status not in ("trained", "ok"):
        return math.nan, math.inf
    lines = [line for line in record.history if line.step == record.best_step] or record.history
    scores = record.validation or (lines[-1].validation if lines else {})
    loss = lines[-1].validation_loss if lines else None
    return scores.get(metric.name, math.nan), math.inf if loss is None else loss


def tuned_label(label: str) -> str:
    """The label of a configuration with the hyperparameters that were found: `lora@tuned`, `lora@r64-tuned`."""
    return f"{label}{'-' if '@' in label else '@'}{TUNED}"
