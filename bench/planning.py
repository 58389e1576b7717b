"""What a suite will take and what it can show, before it is run. Imports no torch, and no plugin.

Time rests on finished cells where there are any: of the same backbone, task, budget and method, else of the same
backbone, task and budget. For the rest it is a rule of thumb: a training step takes FORWARD and BACKWARD floating-point
operations for each parameter and token (Kaplan et al., 2020), at a multiple of what this machine's processor does in a
product of two matrices. What comes out is a range, of which each end is to be read with one digit.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np

from bench import environment
from bench.backbones import EMBEDDED
from bench.detectable import LEVEL, Spreads, detectable, measured, typical
from bench.suite_file import Keep, SuiteFile
from records.cards import Cards
from records.cell import Budget, Cell
from records.record import Record
from records.store import RecordStore

# Operations per parameter and token. Of the backward pass half is for the weights' gradients, which a frozen backbone
# does without.
FORWARD, BACKWARD = 2.0, 3.0
# The share of a text's longest length that it has, padding within a batch included, and how much faster a model trains
# than NumPy multiplies in single precision: bf16 is faster, and embeddings, which are among the parameters, multiply
# nothing.
FILL, FASTER = 0.6, 5.0
# How far a time may lie from what is expected of it, as a factor either way: the same kind of cell, another method,
# another machine or the rule. Machines drift by a factor of 1.4 within hours.
SAME, ALIKE, ROUGH = 1.4, 2.0, 3.0
# Of a cost profile: steps of training, and passes of inference over a batch of eight, merged and not.
PROFILED_STEPS, PROFILED_PASSES, PROFILED_BATCH = 24, 50, 8
# Seconds to start, to load, to write.
OVERHEAD = 4.0

# Bytes: a record with its log, a row of predictions (Parquet, a classification task), and a token of a kept text.
RECORD, ROW, TOKEN = 12_000, 30, 3
# What a method learns, as a share of the backbone's bytes in single precision; of more than the limit nothing is kept.
LEARNT, MOST_KEPT = (0.0005, 0.05), 25_000_000


class Planned(NamedTuple):
    """A cell, as far as planning asks."""

    backbone: str
    label: str
    task: str
    seed: int
    budget: Budget

    @classmethod
    def of(cls, cell: Cell) -> Planned:
        """What a whole cell is planned as; one that a suite has, not one that others published."""
        assert cell.budget is not None
        return cls(cell.backbone, cell.label, cell.task, cell.seed, cell.budget)


class Range(NamedTuple):
    """Between what an amount is expected to lie."""

    low: float
    high: float

    def __add__(self, other: object) -> Range:
        """Both at their least, and both at their most."""
        assert isinstance(other, tuple)
        return Range(self.low + other[0], self.high + other[1])

    @classmethod
    def about(cls, value: float, factor: float) -> Range:
        """A factor either way."""
        return cls(value / factor, value * factor)


class Found(NamedTuple):
    """The smallest true difference that is found with 80 % power on a task, in the metric's unit, for other seeds and
    examples, and for these very models on other examples: each alone, and corrected by Holm's first step for all that
    the suite makes. Of one seed nothing can be said for others."""

    backbone: str
    task: str
    seeds: int
    examples: int
    wide: tuple[float, float] | None
    narrow: tuple[float, float]
    spreads: Spreads


@dataclass(frozen=True)
class Plan:
    """`seconds` is None where nothing can be said; `rests` counts the open cells by what their time rests on. `disk` is
    in bytes, of the open cells. `comparisons` are with `reference`, None where the suite has no full fine-tuning.
    `left_out` has the methods and tasks whose plugins are broken, with the reasons."""

    name: str
    axes: tuple[tuple[str, int], ...]
    done: int
    open: int
    slots: int
    seconds: Range | None
    rests: Counter[str]
    disk: Range
    reference: str | None
    comparisons: int
    found: list[Found]
    left_out: tuple[str, ...] = ()


def crossed(file: SuiteFile, budgets: Mapping[str, Budget]) -> Iterator[Planned]:
    """Every cell, in the order in which they run."""
    for backbone in file.backbones:
        for task in file.tasks:
            for seed in file.seeds:
                for label in file.methods:
                    yield Planned(backbone, label, task, seed, budgets[task])


def standing(file: SuiteFile, records: Iterable[Record]) -> dict[Planned, Record]:
    """The records that are, by all that the suite's file says, those of its cells. Whether a plugin's revision, or a
    default, was another when they were made is not seen here; `bench run` sees it."""
    found = {}
    for record in records:
        given = file.methods.get(record.cell.label)
        same = given is not None and all(record.cell.hyperparameters.get(name) == given[name] for name in given)
        if same and record.cell.precision == file.precision:
            found[Planned.of(record.cell)] = record
    return found


def plan(
    name: str,
    file: SuiteFile,
    cells: list[Planned],
    done: Mapping[Planned, Record],
    folder: tuple[RecordStore, list[Record], Cards] | None,
    slots: int | None = None,
) -> Plan:
    """`done` has the records that stand; `folder` the results folder with all its records and cards, None where there
    is none yet; `slots` how many cells train at a time, by default as many as on this machine."""
    finished = ("ok", "n/a") if file.profile else ("ok", "n/a", "trained")
    left = [cell for cell in cells if not (found := done.get(cell)) or found.status not in finished]
    records = folder[1] if folder else []
    gpus = _gpus()
    slots = slots or max(1, (gpus * (file.share or 1) or environment.side_by_side()) // file.processes)
    clock = _Clock(records, gpus, slots)
    seconds: Range | None = Range(0, 0)
    rests: Counter[str] = Counter()
    costed = {cell._replace(seed=0) for cell, record in done.items() if record.cost is not None}
    for cell in left:
        trained = (found := done.get(cell)) is not None and found.status == "trained"
        took, rest = clock.of(cell)
        rests[rest] += 1
        if took is None:
            seconds = None
        elif seconds is not None:
            training = Range(0, 0) if trained else took.training
            profile = took.profile if file.profile and cell._replace(seed=0) not in costed else Range(0, 0)
            costed.add(cell._replace(seed=0))  # seeds share a profile
            seconds += Range(training.low / slots + profile.low, training.high / slots + profile.high)
    reference = next((label for label in file.methods if label.partition("@")[0] == "full"), None)
    comparisons = len(file.backbones) * len(file.tasks) * (len(file.methods) - 1)
    axes = {"backbone": file.backbones, "method": file.methods, "task": file.tasks, "seed": file.seeds}
    return Plan(
        name=name,
        axes=tuple((axis, len(values)) for axis, values in axes.items()),
        done=len(cells) - len(left),
        open=len(left),
        slots=slots,
        seconds=seconds,
        rests=rests,
        disk=_disk(left, records, clock, file.keep),
        reference=reference,
        comparisons=comparisons,
        found=_found(cells, folder, comparisons),
    )


class _Took(NamedTuple):
    training: Range
    profile: Range


class _Clock:
    """What a cell takes here, by what others took."""

    def __init__(self, records: Iterable[Record], gpus: int, slots: int) -> None:
        self.gpus, self.slots = gpus, slots
        self.parameters = {f"embedded:{name}": found.card.parameters for name, found in EMBEDDED.items()}
        self.tests: dict[tuple[str, str, Budget], int] = {}
        self.stored: dict[tuple[str, str], int] = {}
        self.known: dict[tuple[object, ...], list[tuple[float, float, bool]]] = {}
        self.took: dict[tuple[object, ...], tuple[_Took | None, str]] = {}
        self.speed: float | None = None
        here = environment.processor()
        for record in records:
            if record.status in ("trained", "ok"):
                self._learn(record, record.environment.get("processor") == here)

    def _learn(self, record: Record, here: bool) -> None:
        if record.cell.budget is None or record.cell.stop is not None:
            return
        cell = Planned.of(record.cell)
        if record.parameters and record.parameters.backbone:
            self.parameters[cell.backbone] = record.parameters.backbone
        if record.data and record.data.test is not None:
            self.tests[cell.backbone, cell.task, cell.budget] = record.data.test
        profile = 0.0
        if record.cost and record.cost.stored_bytes is not None and record.cost.inference_seconds is not None:
            self.stored[cell.backbone, cell.label] = record.cost.stored_bytes
            steps = sum(phase.step_seconds for phase in record.cost.phases)
            profile = OVERHEAD + PROFILED_STEPS * steps + PROFILED_PASSES * record.cost.inference_seconds
        for key in (_kind(cell), (*_kind(cell), cell.label)):
            self.known.setdefault(key, []).append((record.seconds, profile, here))

    def of(self, cell: Planned) -> tuple[_Took | None, str]:
        """With what it rests on."""
        key = (*_kind(cell), cell.label)
        if key not in self.took:
            self.took[key] = self._of(cell)
        return self.took[key]

    def _of(self, cell: Planned) -> tuple[_Took | None, str]:
        for key, factor, rest in (
            ((*_kind(cell), cell.label), SAME, "finished ones of the same method, task and budget"),
            (_kind(cell), ALIKE, "finished ones of other methods on the same task and budget"),
        ):
            if found := self.known.get(key):
                own = all(here for _, _, here in found)
                factor = factor if own else ROUGH
                profiles = [profile for _, profile, _ in found if profile]
                training = Range.about(mean(seconds for seconds, _, _ in found), factor)
                profile = Range.about(mean(profiles), factor) if profiles else training
                return _Took(training, profile), rest if own else f"{rest}, on another machine"
        size = self.parameters.get(cell.backbone)
        if self.gpus:
            return None, "nothing: a GPU's speed shows in the first cells"
        if size is None:
            return None, "nothing: how large the backbone is shows in the first cells"
        return self._by_rule(
            float(size), cell.budget
        ), "a rule of thumb: parameters × tokens, at this machine's speed just now"

    def _by_rule(self, parameters: float, budget: Budget) -> _Took:
        if self.speed is None:
            self.speed = FASTER * matmul_speed()
        per_token = parameters / self.speed
        text = FILL * budget.max_length
        step = (FORWARD + BACKWARD) * per_token
        trained = budget.train_examples * budget.epochs * text * step
        read = (budget.validation_examples * budget.epochs + budget.test_examples) * text * FORWARD * per_token
        # Cells that train side by side share the processor, of which a profile has the whole.
        training = OVERHEAD + self.slots * (trained + read)
        steps = PROFILED_STEPS * budget.batch_size * budget.max_length * step
        passes = PROFILED_PASSES * PROFILED_BATCH * budget.max_length * FORWARD * per_token
        return _Took(Range.about(training, ROUGH), Range.about(OVERHEAD + steps + passes, ROUGH))


def _kind(cell: Planned) -> tuple[object, ...]:
    return cell.backbone, cell.task, cell.budget


def matmul_speed(size: int = 1024, seconds: float = 0.2) -> float:
    """Floating-point operations per second of a product of two square matrices in single precision, on all cores: the
    fastest of those that fit into so many seconds."""
    left = np.full((size, size), 0.5, dtype=np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        begin = time.perf_counter()
        left @ left
        best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


def _gpus() -> int:
    """Of NVIDIA, as far as the system shows them without torch."""
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()])


def _disk(left: Iterable[Planned], records: Iterable[Record], clock: _Clock, keep: Keep) -> Range:
    """Records with their logs, and what the suite keeps: predictions, texts once per task, and what methods learnt,
    where it is small enough or all is kept."""
    most = {"all": math.inf, "adapters": MOST_KEPT, "none": 0}[keep.state]
    size = Range(0, 0)
    texts: dict[str, int] = {}
    for cell in left:
        tests = clock.tests.get((cell.backbone, cell.task, cell.budget), cell.budget.test_examples)
        rows = ROW * tests if keep.predictions else 0
        size += Range(RECORD + rows / 2, RECORD + rows * 2)
        texts[cell.task] = tests * cell.budget.max_length * TOKEN if keep.texts else 0
        if (stored := clock.stored.get((cell.backbone, cell.label))) is not None:
            size += Range(stored, stored) if stored < most else Range(0, 0)
        elif most and (parameters := clock.parameters.get(cell.backbone)):
            whole = 4 * float(parameters)
            full = cell.label.partition("@")[0] == "full"
            low, high = (whole if full else min(share * whole, most) for share in LEARNT)
            size += Range(low, high) if not full or most == math.inf else Range(0, 0)
    known = {record.cell.task for record in records}
    new = sum(bytes_ for task, bytes_ in texts.items() if task not in known)
    return size + Range(new / 3, new)


def _found(
    cells: Iterable[Planned], folder: tuple[RecordStore, list[Record], Cards] | None, comparisons: int
) -> list[Found]:
    """By backbone and task."""
    if comparisons < 1:
        return []
    known = measured(*folder) if folder else {}
    finished = folder[1] if folder else []
    tests = {(r.cell.backbone, r.cell.task): r.data.test for r in finished if r.data and r.data.test is not None}
    asked: dict[tuple[str, str], tuple[set[int], Budget]] = {}
    for cell in cells:
        asked.setdefault((cell.backbone, cell.task), (set(), cell.budget))[0].add(cell.seed)
    made = []
    for (backbone, task), (seeds, budget) in asked.items():
        spreads = known.get((backbone, task)) or typical()
        n = min(tests.get((backbone, task), budget.test_examples), budget.test_examples)
        narrow, wide = (
            (
                detectable(spreads, len(seeds), n, fixed=fixed),
                detectable(spreads, len(seeds), n, LEVEL / comparisons, fixed=fixed),
            )
            for fixed in (True, False)
        )
        made.append(Found(backbone, task, len(seeds), n, wide if len(seeds) > 1 else None, narrow, spreads))
    return made
