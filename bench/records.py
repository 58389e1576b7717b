"""What a results folder holds, and the only code that reads or writes it. Imports no torch.

results/embedded/
  manifest.json            the resolved suite, its cells, and the cards of all that takes part
  cells/<id>/record.json   what a cell leaves behind
  cells/<id>/log.txt       what it printed
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.cell import Cell

SCHEMA = 1

# `broken` is never written: it is how a record that cannot be read is shown.
Status = Literal["trained", "ok", "failed", "n/a", "broken"]

# Undefined (NaN, or an infinity) stays what it is: JSON has no such numbers, so they are written as words. Records of
# old hold a null in their place.
Score = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
UNDEFINED_AS_WORDS = ConfigDict(ser_json_inf_nan="strings")


class ResultsError(Exception):
    """A results folder cannot be used; the message is one line for the user."""


class Evaluation(BaseModel):
    """One line of a cell's history: the mean training loss since the last line, and validation metrics."""

    model_config = UNDEFINED_AS_WORDS

    step: int
    epoch: float
    phase: str
    train_loss: float
    validation_loss: float
    validation: dict[str, Score]


class DataUse(BaseModel):
    """Examples used, and what was left out: `duplicates_removed` counts training or validation texts
    dropped because a later split holds them too, `dropped` rows that the task itself left out, by reason, and
    `commits` the repositories that the data came from. `unknown_tokens` is the share of the training texts' tokens that
    the backbone's vocabulary lacks, `unasked` how many test examples could not be put to the model, and are scored as
    without an answer."""

    train: int
    validation: int
    test: int
    duplicates_removed: int
    train_tokens: int = Field(description="tokens seen in training, padding excluded")
    steps: int
    commits: dict[str, str] = {}
    dropped: dict[str, int] = {}
    unknown_tokens: float | None = None
    unasked: int = 0


class Parameters(BaseModel):
    """Counts. `adapter` and `head` are trainable; `backbone` is the pretrained model without a head.
    `percent` is the adapter's share of the backbone, in percent."""

    adapter: int
    head: int
    total: int
    backbone: int
    percent: float


class PhaseCost(BaseModel):
    """One phase under the profile's protocol: medians over its timed steps, bytes counted in one step."""

    name: str
    share: float
    trainable_parameters: int
    step_seconds: float
    tokens_per_second: float
    train_flops: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int


class Cost(BaseModel):
    """Measured with the machine to itself. Seconds and tokens/s are timed; FLOPs and bytes (but for the
    peak) are counted. `inference_seconds` is one batch of the protocol's shape, with what the method puts in front
    of it: `backbone_inference_seconds`, times the median ratio of passes timed side by side.
    `merged_inference_seconds` is None where the method does not merge; times of training are None where nothing is
    trained, and the peak is then that of inference. Figures of the whole training weigh phases by their share; bytes
    take the worst phase."""

    protocol: dict[str, Any]
    peak_memory_bytes: int
    weights_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    stored_bytes: int
    step_seconds: float | None
    train_tokens_per_second: float | None
    train_flops: int
    inference_flops: int
    inference_seconds: float
    merged_inference_seconds: float | None
    backbone_inference_seconds: float = Field(gt=0)
    phases: list[PhaseCost]


class Record(BaseModel):
    """All that one cell leaves behind. `trained` means scored and waiting for its cost profile."""

    model_config = ConfigDict(extra="forbid") | UNDEFINED_AS_WORDS

    schema_version: int = SCHEMA
    id: str
    cell: Cell
    status: Status
    reason: str | None = None
    attempts: int = 1
    started: str
    finished: str
    wall_seconds: float = Field(description="of training and evaluation, the cell's own process only")
    best_step: int | None = None
    validation: dict[str, Score] = {}
    test: dict[str, Score] = {}
    forgetting: dict[str, float] = Field(
        {}, description="nats per byte of general text: the backbone `before`, and `after` tuning"
    )
    history: list[Evaluation] = []
    data: DataUse | None = None
    parameters: Parameters | None = None
    cost: Cost | None = None
    environment: dict[str, Any] = Field({}, description="where it was trained and scored")
    profiled: dict[str, Any] = Field({}, description="what of the environment was another when cost was profiled")


class Manifest(BaseModel):
    """What a results folder is about; written before the first cell runs.

    `cells` maps each id of the suite to its cell, in the suite's order. `cards` holds, under `methods`,
    `tasks` and `backbones`, the cards by name as plain data. Records whose id is not in `cells` are left
    over from an earlier version of the suite and are not part of the results.
    """

    schema_version: int = SCHEMA
    suite: dict[str, Any]
    cells: dict[str, Cell]
    cards: dict[str, dict[str, dict[str, Any]]]
    environment: dict[str, Any]
    created: str


class RecordStore:
    """A results folder. Every write is to a temporary file that then takes the name: a reader, or a run
    that follows a kill, sees the whole of a record or nothing of it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def folder(self, cell_id: str) -> Path:
        return self.root / "cells" / cell_id

    def log(self, cell_id: str) -> Path:
        return self.folder(cell_id) / "log.txt"

    def write(self, record: Record) -> None:
        _write_atomically(self.folder(record.id) / "record.json", record.model_dump_json(indent=1))

    def read(self, cell_id: str) -> Record | None:
        """The record, or None where there is none yet. Raises ResultsError on a file that is not one."""
        path = self.folder(cell_id) / "record.json"
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ResultsError(
                f"{path}: not a record ({where}: {first['msg']}); delete the file to have its cell run again"
            ) from None

    def records(self) -> Iterator[Record]:
        """The records of the manifest's cells, in its order, under the manifest's labels."""
        for cell_id, cell in self.manifest().cells.items():
            record = self.read(cell_id)
            if record is not None:
                yield record.model_copy(update={"cell": cell})

    def write_manifest(self, manifest: Manifest) -> None:
        _write_atomically(self.root / "manifest.json", manifest.model_dump_json(indent=1))

    def manifest(self) -> Manifest:
        """Raises ResultsError where the folder holds no results."""
        path = self.root / "manifest.json"
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            hint = "run a suite first (make bench)"
            if self.root.is_dir() and (found := sorted(p.parent.name for p in self.root.glob("*/manifest.json"))):
                hint = "did you mean " + " or ".join(str(self.root / name) for name in found) + "?"
            raise ResultsError(f"{self.root}: no results here (manifest.json is missing); {hint}") from None
        except ValidationError as error:
            raise ResultsError(f"{path}: not a manifest: {error.errors()[0]['msg']}") from None


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def to_plain(card: Any) -> dict[str, Any]:
    """A card (a dataclass) as the plain data that a manifest holds."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(card)))
