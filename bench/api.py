"""What the command line does, in Python: `from bench import Suite, plan, preview, results, run`.

A suite is a built-in one's name, the path of a YAML file, or a mapping with the keys of one. Errors are SuiteError,
UsageError and ResultsError, whose messages are those of the command line.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from rich.console import Console

from bench import cluster
from bench.durations import seconds_of
from bench.folders import RESULTS, UsageError, store_of
from bench.sizes import bytes_of
from bench.suite import Suite
from bench.suite_file import AS_PROFILED
from records.predictions import SCORE
from records.record import Record
from records.store import RecordStore
from records.vocabulary import QUANTITIES
from reports import results as frames

if TYPE_CHECKING:
    from bench.planning import Plan
    from bench.previewing.looking import Preview
    from reports.build import Report

__all__ = ["Results", "plan", "preview", "results", "run"]

# What says which cell a row is of.
AXES = ["backbone", "label", "task", "seed"]

Given = Suite | str | Path | Mapping[str, Any]


def run(
    suite: Given,
    results: str | Path | None = None,
    *,
    slots: int | None = None,
    share: int | None = None,
    gpu_memory: str | None = None,
    processes: int | None = None,
    shard: bool | None = None,
    time_limit: str | None = None,
    trackers: Sequence[str] = (),
    launcher: Literal["local", "slurm"] = "local",
    slurm: Mapping[str, str | int] | None = None,
    progress: bool = True,
) -> Results:
    """Runs the cells of a suite that have no result yet, in processes of their own, and returns the results folder.

    `results` is the folder, by default `results/<suite>`; the other arguments are the options of `bench run`, `slurm`
    those that go with that launcher. In a notebook or on a terminal progress is a picture that changes, elsewhere a
    line for each cell; without `progress` nothing is said. Cells that fail raise nothing: their status says so, and
    `left_out` what has no cells, being broken.

    An interrupt (Ctrl-C, or the notebook's button) lets running cells end and starts no others, a second one stops
    them; then KeyboardInterrupt is raised. Finished cells are kept, and the same call goes on from there. Raises
    SuiteError, UsageError and ResultsError where the suite cannot be run as asked.
    """
    from bench import running
    from bench.tracking import TrackedDisplay

    for name, number in (("slots", slots), ("share", share), ("processes", processes)):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise UsageError(f"{name}: takes a whole number from 1, not {number!r}")
    try:
        _ = time_limit is None or seconds_of(time_limit)
        _ = gpu_memory in (None, AS_PROFILED) or bytes_of(str(gpu_memory))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if unknown := [name for name in slurm or () if name not in cluster.FLAGS]:
        raise UsageError(f"slurm: unknown option {unknown[0]!r}; known: {', '.join(cluster.FLAGS)}")
    flags = dict.fromkeys(cluster.FLAGS) | {name: str(value) for name, value in (slurm or {}).items()}
    arguments = argparse.Namespace(
        results=None if results is None else Path(results), slots=slots, share=share, gpu_memory=gpu_memory,
        processes=processes, shard=shard, time_limit=time_limit, tracker=list(trackers), launcher=launcher, **flags,
    )  # fmt: skip
    asked = running.searched(_suite(suite), arguments)
    store = running.folder_of(asked, arguments)
    with TrackedDisplay(None if progress else Console(file=io.StringIO())) as display:
        for note in asked.notes():
            display.note(f"note: {note}")
        done = running.carry_out(asked, arguments, store, display)
    if done.left:
        raise KeyboardInterrupt(f"{done.left} cells are open: the same call goes on from there")
    return Results(store.root)


def results(folder: str | Path) -> Results:
    """A results folder, by its path or its suite's name, as it stands. Raises ResultsError and UsageError where it
    cannot be read."""
    return Results(store_of(str(folder)).root)


def preview(suite: Given, tasks: Sequence[str] = (), examples: int = 3) -> list[Preview]:
    """Every task, or those named, as each backbone will read it, with so many of its first training examples; loads no
    weights. Raises SuiteError, and UsageError where the suite has no such task."""
    from bench.previewing.looking import previews
    from bench.worker import quieten

    quieten()
    read = _suite(suite)
    if strange := [name for name in tasks if name not in read.axes.tasks]:
        raise UsageError(f"{read.name} has no task {strange[0]!r}; it has {', '.join(read.axes.tasks)}")
    return list(previews(read, tasks, examples))


def plan(suite: Given, results: str | Path | None = None, slots: int | None = None) -> Plan:
    """What a suite will take, and which differences it can show, judged by finished cells in `results` (by default
    `results/<suite>`) as far as there are some. Raises SuiteError."""
    from bench.plan_lines import plan_of

    read = _suite(suite)
    return plan_of(read, RESULTS / read.name if results is None else Path(results).expanduser(), slots)


def _suite(given: Given) -> Suite:
    here = Path.cwd()
    suite = given if isinstance(given, Suite) else Suite.read(given)
    os.chdir(here)  # wherever a plugin has gone
    return suite


class Results:
    """A results folder as tidy frames, read when it is made: what is run later is in a new one.

    Every frame has the columns `backbone`, `label` (the method as the suite calls it), `task` and `seed`.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ResultsError where the folder holds no results."""
        self.folder = folder
        self._read = frames.read(folder)

    @property
    def suite(self) -> dict[str, Any]:
        """The suite with every default filled in, as plain data."""
        return self._read.suite

    @property
    def left_out(self) -> list[str]:
        """The methods and tasks that the suite names and that have no cells, since their plugins are broken; each with
        the reason."""
        return self._read.manifest.left_out

    @property
    def records(self) -> dict[str, Record]:
        """All that each cell has left behind, by its id."""
        return dict(self._read.records)

    @property
    def cells(self) -> pd.DataFrame:
        """A row for each cell of the suite, run or not, indexed by its id: also method, family, status, reason, `score`
        (the primary test metric, so turned that more is better), validation_score, wall_seconds, and parameters and
        costs under the names of `costs`; NaN where there is none."""
        return self._read.cells.copy()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for each cell, split (`validation`, `test`) and metric, with its `value` as the metric has it."""
        rows = [
            self._axes(record) | {"split": split, "metric": metric, "value": value}
            for record in self._scored()
            for split, found in (("validation", record.validation), ("test", record.test))
            for metric, value in found.items()
        ]
        return pd.DataFrame(rows, columns=["id", *AXES, "split", "metric", "value"])

    @cached_property
    def costs(self) -> pd.DataFrame:
        """A row for each cell and quantity that was measured or counted of it: `quantity`, `value` in its base unit
        (bytes, seconds, FLOPs, a count, a ratio, a rate per second, percent), `unit`, and whether it was `timed` or
        `counted`."""
        known = [
            name for name in QUANTITIES if name in self._read.cells and QUANTITIES[name].kind in ("timed", "counted")
        ]
        long = self._read.cells.reset_index().melt(["id", *AXES], known, "quantity", "value").dropna(subset="value")
        long["unit"] = [QUANTITIES[name].unit for name in long["quantity"]]
        long["kind"] = [QUANTITIES[name].kind for name in long["quantity"]]
        return long.reset_index(drop=True)

    @property
    def history(self) -> pd.DataFrame:
        """A row for each evaluation of a scored cell: id, step, phase, train_loss, validation_loss and `score`, the
        primary validation metric, so turned that more is better."""
        return self._read.history.copy()

    def predictions(self, **where: str | int) -> pd.DataFrame:
        """A row for each cell and test example, of the cells whose columns are as asked (`task="imdb"`,
        `label="lora"`): id, `example`, `reference`, `prediction`, `tokens` read, and `score:<metric>` for each metric
        that is a mean over examples. Classes are numbers in the order of the task's labels. Cells that kept no
        predictions are left out; raises ResultsError where those of a cell are broken."""
        store = RecordStore(self.folder)
        if unknown := [name for name in where if name not in self._read.cells.columns]:
            raise UsageError(f"no column {unknown[0]!r}; there are {', '.join(self._read.cells.columns[:8])}")
        found = [
            pd.DataFrame(
                self._axes(record)
                | {"example": answers.examples, "reference": answers.references, "prediction": answers.predictions}
                | ({"tokens": answers.tokens} if answers.tokens else {})
                | {f"{SCORE}{metric}": values for metric, values in answers.scores.items()}
            )
            for record in self._scored()
            if all(self._read.cells.loc[record.id, name] == value for name, value in where.items())
            and (answers := store.predictions(record)) is not None
        ]
        columns = ["id", *AXES, "example", "reference", "prediction", "tokens"]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)

    def texts(self) -> pd.DataFrame:
        """A row for each test example that was kept: its raw columns (`label` as `raw_label`), indexed by the `example`
        of `predictions`."""
        found = pd.DataFrame.from_dict(RecordStore(self.folder).texts(), orient="index").rename_axis("example")
        return found.rename(columns={name: f"raw_{name}" for name in AXES})

    def report(self, output: str | Path | None = None, topic: str = "all", template: Path | None = None) -> Report:
        """Writes the report as `bench report` does, by default into `report/` in the folder. Raises ResultsError."""
        from reports.build import build_report

        return build_report(self.folder, output, topic, template)

    def _scored(self) -> Iterator[Record]:
        return (record for record in self._read.records.values() if record.status in frames.SCORED)

    def _axes(self, record: Record) -> dict[str, Any]:
        return {"id": record.id, **{name: getattr(record.cell, name) for name in AXES}}

    def _counts(self) -> str:
        counts = [f"{count} {status}" for status, count in self._read.cells["status"].value_counts().items()]
        lost = len(self.left_out)
        return ", ".join([*counts, f"{lost} left out"] if lost else counts)

    def __repr__(self) -> str:
        return f"<Results {self.folder}: {len(self._read.cells)} cells, {self._counts()}>"

    def _repr_html_(self) -> str:
        """Mean scores by method, backbone and task, and how many cells stand behind each."""
        grouped = self._read.cells.groupby(["backbone", "label", "task"], sort=False)["score"]
        table = (
            grouped.agg(["mean", "std", "count"])
            .rename(columns={"count": "cells"})
            .to_html(float_format="{:.3f}".format)
        )
        return f"<p><b>{escape(self._read.name)}</b>: {escape(self._counts())} ({escape(str(self.folder))})</p>{table}"
