"""The process beside a run that hands cells to a tracker: python -m bench.trackers NAME SUITE RESULTS, with the cells'
ids on standard input, a line each. Each cell is a run of the tracker's, in a project that is called as the suite is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from bench.tracking import FOLDER
from records.record import Record
from records.store import RecordStore
from records.text import described


class Run:
    """All of a suite's cells, as one tracker is told of them."""

    def __init__(self, tracker: str | GeneralTracker, suite: str, results: Path) -> None:
        self.tracker = tracker
        self.suite = suite
        self.accelerator = Accelerator(cpu=True, log_with=tracker, project_dir=str(results / FOLDER))
        if not self.accelerator.log_with:
            raise RuntimeError(f"accelerate finds no tracker {tracker} here")
        self._told: dict[str, Any] = {}  # cells, with what the tracker calls them
        self._whole: set[str] = set()  # those whose cost was told as well

    def hand(self, record: Record) -> None:
        """At first all that there is of a cell, and then its cost, which is measured later."""
        again = record.id in self._told
        if record.id in self._whole:
            return
        self.accelerator.trackers = []
        self.accelerator.init_trackers(
            self._project(record), config=None if again else configuration(record), init_kwargs=self._options(record)
        )
        try:
            for step, values in [] if again else history(record):
                self.accelerator.log(values, step=step)
            last = record.data.steps if record.data else 0
            if values := costs(record) if again else scores(record) | costs(record):
                self.accelerator.log(values, step=last)
            [tracker] = self.accelerator.trackers
            active = getattr(tracker, "active_run", None)
            self._told[record.id] = active.info.run_id if active else None
            if record.cost:
                self._whole.add(record.id)
        finally:
            self.accelerator.end_training()

    def _project(self, record: Record) -> str:
        """On this disk a folder for each cell, else a project of which each is a run."""
        return f"{self.suite}/{_name(record)}" if self.tracker == "tensorboard" else self.suite

    def _options(self, record: Record) -> dict[str, dict[str, Any]]:
        name, group = _name(record), f"{record.cell.backbone} {record.cell.task}"
        match self.tracker:
            case "wandb":
                return {"wandb": {"name": name, "group": group, "id": record.id, "resume": "allow"}}
            case "mlflow":
                known = self._told.get(record.id)
                return {"mlflow": {"run_id": known} if known else {"run_name": name}}
            case "trackio":
                return {"trackio": {"name": name, "resume": "allow"}}
        return {}


def configuration(record: Record) -> dict[str, Any]:
    """What a cell is, flat."""
    cell = record.cell
    axes = {"backbone": cell.backbone, "method": cell.label, "task": cell.task, "seed": cell.seed, "cell": record.id}
    budget = cell.budget.model_dump() if cell.budget else {}
    parts = {"hyperparameters": cell.hyperparameters, "budget": budget}
    more = {f"{part}/{key}": value for part, values in parts.items() for key, value in values.items()}
    flat = axes | more | {"status": record.status, "reason": record.reason or ""}
    return {key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in flat.items()}


def history(record: Record) -> Iterable[tuple[int, dict[str, float]]]:
    """Losses and validation scores, by step."""
    for line in record.history:
        losses = {"train_loss": line.train_loss, "validation_loss": line.validation_loss}
        yield (
            line.step,
            {
                **{name: value for name, value in losses.items() if value is not None},
                **{f"validation/{name}": value for name, value in line.validation.items()},
            },
        )


def scores(record: Record) -> dict[str, float]:
    """Those of the test split, and the trained parameters."""
    found = {f"test/{name}": value for name, value in record.test.items()}
    if record.parameters:
        found["parameters/adapter"] = float(record.parameters.adapter)
    return found | ({"wall_seconds": record.wall_seconds} if record.test else {})


def costs(record: Record) -> dict[str, float]:
    """What the profile has found and is one number."""
    found = record.cost.model_dump() if record.cost else {}
    return {f"cost/{name}": float(value) for name, value in found.items() if isinstance(value, int | float)}


def _name(record: Record) -> str:
    cell = record.cell
    parts = (Path(cell.backbone).name, cell.label, cell.task, f"seed{cell.seed}", record.id)
    return "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in part) for part in parts)


def main(name: str, suite: str, results: str) -> int:
    """Until standard input is closed; 1 where a cell could not be handed over, which is told and left out."""
    run, store, failed = Run(name, suite, Path(results)), RecordStore(results), ""
    for line in sys.stdin:
        try:
            if record := store.read(line.strip()):
                run.hand(record)
        except Exception as error:
            failed = f"{line.strip()}: {described(error)}"
            print(failed, file=sys.stderr, flush=True)
    if failed:
        print(failed, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
