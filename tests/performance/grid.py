"""A grid of cells by `bench run`, as a process, from a cold start and with an empty cache, against one script for each
cell with peft and transformers' Trainer at its usual settings: batches padded to their longest text, in the order of
the draw; evaluation after each epoch in batches of 8; nothing saved. Examples, epochs, batches, rates, methods and
backbone are the same.

Scripts are timed for a sample of the cells, each method once, and stand for the rest. What each cause is worth comes
from the cells of one seed, run by `bench run` one at a time: there they have both cores, as scripts have.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from bench.backbones import Backbone
from bench.data import prepare
from bench.forms.sequence import Classification
from bench.registry import Registry
from bench.worker import quieten
from records.cell import Budget
from records.store import RecordStore
from tests.performance import stamped
from tests.performance.figures import Table
from tests.performance.steps import PRECISIONS, precisions

BACKBONE = "embedded:minilm-l6"
METHODS = ("lora", "dora", "adalora", "vera", "ia3", "prompt_tuning", "p_tuning", "prefix_tuning")
SEEDS = (0, 1)
COMMON = {"validation_examples": 128, "test_examples": 300, "epochs": 2, "batch_size": 32, "max_length": 64}
TASKS = {"rotten_tomatoes": 400, "bbc_news": 256}  # how many examples to train on
BRIEF = {"validation_examples": 8, "test_examples": 8, "epochs": 1, "batch_size": 4, "max_length": 16}
FASTER = {"no": 2.5, "bf16": 4.0}

SCRIPT = Path(__file__).with_name("script.py")

Cell = tuple[str, str, int]  # method, task, seed
CAUSES = ("start", "training", "evaluation", "rest")
SAID = {"start": "start-up, to the first step", "training": "training", "evaluation": "evaluation", "rest": "the rest"}


@dataclass
class Grid:
    """Which cells, and what they may spend."""

    methods: Sequence[str] = METHODS
    tasks: Mapping[str, int] = field(default_factory=lambda: TASKS)
    seeds: Sequence[int] = SEEDS
    common: Mapping[str, int] = field(default_factory=lambda: COMMON)

    @property
    def cells(self) -> int:
        """How many."""
        return len(self.methods) * len(self.tasks) * len(self.seeds)

    def sample(self) -> list[Cell]:
        """Each method once; tasks and seeds in turn, each as often as any other."""
        crossed = [(task, seed) for seed in self.seeds for task in self.tasks]
        return [(method, *crossed[number % len(crossed)]) for number, method in enumerate(self.methods)]

    def budget(self, task: str) -> Budget:
        """A task's."""
        return Budget(train_examples=self.tasks[task], **self.common)

    def suite(self, precision: str) -> dict[str, Any]:
        """As its file says it."""
        return {
            "backbones": [BACKBONE],
            "tasks": {task: {"train_examples": count} for task, count in self.tasks.items()},
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "budget": dict(self.common),
            "precision": precision,
            "profile": False,
        }


@dataclass
class Side:
    """Of one side: the seconds of a cell by cause, in its own time; those that a run takes once; tokens computed for
    each that was read, in training; and the test accuracy of each cell."""

    causes: Mapping[str, float]
    once: float
    padding: float
    accuracy: Mapping[Cell, float]


def of_cells(cells: Sequence[Mapping[str, float]], seconds: float, once: float, accuracy: Mapping[Cell, float]) -> Side:
    """From what each cell says, and the seconds of all of them."""
    found = {cause: mean(cell[cause] for cell in cells) for cause in CAUSES[:-1]}
    found["rest"] = (seconds - once) / len(cells) - sum(found.values())
    tokens, real = (sum(cell[f"training{what}"] for cell in cells) for what in (" tokens", " real tokens"))
    return Side(found, once, tokens / real, accuracy)


def run_suite(folder: Path, suite: Mapping[str, Any], slots: int | None = None) -> tuple[float, Side]:
    """By `bench run`, in a folder of its own; its seconds as well."""
    began = time.monotonic()
    seen = stamped.run_suite(folder, suite, folder / "cache", slots)
    ended = time.monotonic()
    # Until the first worker is forked the suite is read and their server comes about: once for all cells.
    first, last = min(each["forked"].time for each in seen), max(each["done"].time for each in seen)
    accuracy = {
        (record.cell.method, record.cell.task, record.cell.seed): record.test["accuracy"]
        for record in RecordStore(folder / "results").records()
    }
    cells = [_spent(each, first) for each in seen]
    return ended - began, of_cells(cells, ended - began, first - began + ended - last, accuracy)


def _spent(seen: Mapping[str, stamped.Stamp], server: float) -> dict[str, float]:
    """Of a cell, from when there was a server to fork its worker from."""
    start = seen["first step"].time - max(seen["accepted"].time, server)
    within = seen["trained"].time - seen["first step"].time - seen["trained"].more["evaluation"]
    return {**seen["done"].more, "start": start, "training": within}


class Scripts:
    """One process for each cell, one after the other."""

    def __init__(self, folder: Path, grid: Grid, precision: str) -> None:
        self.folder, self.grid, self.precision = folder, grid, precision
        self.backbone = Backbone.find(BACKBONE)
        self.seconds: list[float] = []
        self.spent: list[dict[str, float]] = []
        self.accuracy: dict[Cell, float] = {}

    def run(self, cell: Cell) -> None:
        """A cell's script."""
        method, task, seed = cell
        budget = self.grid.budget(task)
        told = {
            "method": method,
            "seed": seed,
            "bf16": self.precision == "bf16",
            "backbone": str(self.backbone.place.config),
            "lr": Registry().get("methods", method).cls().lr,
            "warmup": budget.warmup,
            "epochs": budget.epochs,
            "batch_size": budget.batch_size,
            "max_length": budget.max_length,
            "output": str(self.folder / "output"),
            **self._examples(task, seed),
        }
        path = self.folder / "cell.json"
        began = time.monotonic()
        path.write_text(json.dumps(told | {"started": began}), encoding="utf-8")
        said = stamped.run_process([sys.executable, str(SCRIPT), str(path)], {})
        self.seconds.append(time.monotonic() - began)
        found = json.loads(said.splitlines()[-1])
        self.spent.append(found["spent"])
        self.accuracy[cell] = found["accuracy"]

    def _examples(self, task: str, seed: int) -> dict[str, Any]:
        """The files with the texts that `bench run` draws, in its order, and how many labels there are."""
        loaded = Registry().get("tasks", task).cls()
        budget = self.grid.budget(task)
        data = prepare(Classification(loaded, self.backbone.tokenizer(), budget.max_length), budget, seed)
        files = {}
        for split, drawn in (("train", data.train), ("validation", data.validation), ("test", data.test)):
            raw = {row["example"]: row for row in data.rows.split(split)}
            rows = [{key: raw[example][key] for key in ("text", "label")} for example in drawn["example"]]
            files[split] = self.folder / f"{split}.json"
            files[split].write_text(json.dumps(rows), encoding="utf-8")
        return {split: str(path) for split, path in files.items()} | {"labels": len(loaded.card.labels)}

    def side(self) -> Side:
        """Of all that were run."""
        return of_cells(self.spent, sum(self.seconds), 0.0, self.accuracy)


def measure(brief: bool = False) -> list[Table]:
    """A table for each precision that the processor has."""
    quieten()
    grid = Grid(METHODS[:2], {"rotten_tomatoes": 8}, SEEDS[:1], BRIEF) if brief else Grid()
    tables, whole = [], {}
    for precision in precisions():
        with tempfile.TemporaryDirectory() as name:
            seconds, ours, alone, theirs = _both(Path(name), grid, precision)
        tables.append(table_of(grid, precision, seconds, ours, alone, theirs))
        whole[precision] = seconds, sum(theirs.causes.values()) * grid.cells
    if "bf16" in whole:
        tables[-1].note(_of_precision(whole))
    return tables


def _both(folder: Path, grid: Grid, precision: str) -> tuple[float, Side, Side, Side]:
    """The seconds of ours in all, and ours, ours one cell at a time, and scripts."""
    sample = grid.sample()
    scripts = Scripts(folder, grid, precision)
    # Half of them before and half after, as far as the machine's pace changes.
    for cell in sample[: len(sample) // 2]:
        scripts.run(cell)
    seconds, ours = run_suite(folder / "all", grid.suite(precision))
    for cell in sample[len(sample) // 2 :]:
        scripts.run(cell)
    _, alone = run_suite(folder / "alone", replace(grid, seeds=grid.seeds[:1]).suite(precision), slots=1)
    return seconds, ours, alone, scripts.side()


def _of_precision(whole: Mapping[str, tuple[float, float]]) -> str:
    """From the seconds of all cells, ours and those of scripts, by precision."""
    (ours, scripts), (ours_bf16, scripts_bf16) = whole["no"], whole["bf16"]
    return (
        f"In bf16 `bench run` takes {ours_bf16 / ours:.2f} of its time in fp32, and scripts"
        f" {scripts_bf16 / scripts:.2f}. Scripts in fp32, as Trainer has it unless it is told otherwise, take"
        f" {scripts / ours_bf16:.1f} times as long as `bench run` in bf16, as it has it where a processor can."
    )


def table_of(grid: Grid, precision: str, seconds: float, ours: Side, alone: Side, theirs: Side) -> Table:
    """Where the seconds of a cell go: `alone` is ours one cell at a time, whose sum is more than a cell of the grid
    takes by what it brings to pack cells."""
    once = ours.once / grid.cells
    found = {cause: (theirs.causes[cause], alone.causes[cause]) for cause in CAUSES}
    found["rest"] = found["rest"][0], found["rest"][1] + once
    # Training takes as many seconds fewer as tokens are fewer; the rest of it is how the step is made.
    spared = theirs.causes["training"] * (1 - alone.padding / theirs.padding)
    each, whole = sum(theirs.causes.values()), seconds / grid.cells

    def share(seconds: float) -> str:
        return f"{seconds / (each - whole):.0%}" if each > whole else ""

    said = f"batches of {grid.common['batch_size']}, {grid.common['epochs']} epochs, {_examples(grid)}"
    table = Table(
        f"**{PRECISIONS[precision]}**: {grid.cells} cells ({len(grid.methods)} methods, {len(grid.tasks)} tasks,"
        f" {len(grid.seeds)} seeds; MiniLM, {said}). Seconds a cell:",
        ("what", "scripts", "`bench run`", "of the difference"),
    )
    for cause, (script, own) in found.items():
        table.add(SAID[cause], f"{script:.1f}", f"{own:.1f}", share(script - own))
        if cause == "training":
            padding = f"{theirs.padding:.2f} tokens for each read", f"{alone.padding:.2f}"
            table.add("· of it padding", *padding, share(spared))
    packed = sum(own for _, own in found.values()) - whole
    table.add("two at a time", "", f"−{packed:.1f}" if packed > 0 else f"{-packed:.1f}", share(packed))
    table.add("in all", f"{each:.1f}", f"{whole:.1f}", "")
    shared = theirs.accuracy.keys() & ours.accuracy.keys()
    table.note(
        f"`bench run` took {seconds:.0f} s, of which {ours.once:.0f} s once; as many scripts would take"
        f" {each * grid.cells:.0f} s, as {len(theirs.accuracy)} of them say: {each * grid.cells / seconds:.2f} times as"
        f" long (promised: {FASTER[precision]:g}). Mean test accuracy of the cells that both ran:"
        f" {mean(ours.accuracy[cell] for cell in shared):.3f}, and"
        f" {mean(theirs.accuracy[cell] for cell in shared):.3f} of scripts."
    )
    return table


def _examples(grid: Grid) -> str:
    return " and ".join(f"{count} examples of {task}" for task, count in grid.tasks.items())
