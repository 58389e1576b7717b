"""What a results folder holds, and the only code that reads or writes it. Imports no torch.

results/embedded/
  manifest.json            the resolved suite, its cells, and the cards of all that takes part
  cells/<id>/record.json   what a cell leaves behind
  cells/<id>/log.txt       what it printed

A folder may come from a stranger, or from a disk that was full: nothing outside it is read, and what cannot be read
is one broken cell, not the end of the rest.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from bench import disk
from bench.cell import Cell
from bench.redaction import redacted

SCHEMA = 1

# No record or manifest comes near: what is larger is none.
LONGEST = 256 * 2**20
# Of a log that is shown; the file may hold more.
LONGEST_LOG = 2**18

# `broken` is never written: it is how a record that cannot be read is shown.
Status = Literal["trained", "ok", "failed", "n/a", "broken"]

# Undefined (NaN, or an infinity) stays what it is: JSON has no such numbers, so they are written as words. Records of
# old hold a null in their place.
Score = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
UNDEFINED_AS_WORDS = ConfigDict(ser_json_inf_nan="strings")

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# What a cell's id is, and what a folder's name must be to be read or written.
CellId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
_ID = re.compile(r"[0-9a-f]{12}")


# By kind (methods, tasks, backbones) and name, as plain data.
Cards = dict[str, dict[str, dict[str, Any]]]


class ResultsError(Exception):
    """A results folder cannot be used; the message is one line for the user."""


class NoResults(ResultsError):
    """The folder has no manifest."""


class BrokenRecord(ResultsError):
    """There is something where a cell's record should be, and it is none of this cell's."""


class Evaluation(BaseModel):
    """One line of a cell's history: the mean training loss since the last line, and validation metrics."""

    model_config = UNDEFINED_AS_WORDS

    step: Count
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

    train: Count
    validation: Count
    test: Count
    duplicates_removed: Count
    train_tokens: Count = Field(description="tokens seen in training, padding excluded")
    steps: Count
    commits: dict[str, str] = {}
    dropped: dict[str, Count] = {}
    unknown_tokens: float | None = None
    unasked: Count = 0


class Parameters(BaseModel):
    """Counts. `adapter` and `head` are trainable; `backbone` is the pretrained model without a head.
    `percent` is the adapter's share of the backbone, in percent."""

    adapter: Count
    head: Count
    total: Count
    backbone: Count
    percent: float = Field(ge=0)


class PhaseCost(BaseModel):
    """One phase under the profile's protocol: medians over its timed steps, bytes counted in one step."""

    name: str
    share: float
    trainable_parameters: Count
    step_seconds: Seconds
    tokens_per_second: float
    train_flops: Count
    gradient_bytes: Count
    optimizer_bytes: Count
    activation_bytes: Count


class Cost(BaseModel):
    """Measured with the machine to itself. Seconds and tokens/s are timed; FLOPs and bytes (but for the
    peak) are counted. `inference_seconds` is one batch of the protocol's shape, with what the method puts in front
    of it: `backbone_inference_seconds`, times the median ratio of passes timed side by side.
    `merged_inference_seconds` is None where the method does not merge; times of training are None where nothing is
    trained, and the peak is then that of inference. Figures of the whole training weigh phases by their share; bytes
    take the worst phase."""

    protocol: dict[str, Any]
    peak_memory_bytes: Count
    weights_bytes: Count
    gradient_bytes: Count
    optimizer_bytes: Count
    activation_bytes: Count
    stored_bytes: Count
    step_seconds: Seconds | None
    train_tokens_per_second: float | None
    train_flops: Count
    inference_flops: Count
    inference_seconds: Seconds
    merged_inference_seconds: Seconds | None
    backbone_inference_seconds: float = Field(gt=0, allow_inf_nan=False)
    phases: list[PhaseCost]


class Record(BaseModel):
    """All that one cell leaves behind. `trained` means scored and waiting for its cost profile."""

    model_config = ConfigDict(extra="forbid") | UNDEFINED_AS_WORDS

    schema_version: int = SCHEMA
    id: str
    cell: Cell
    status: Status
    reason: Annotated[str, AfterValidator(redacted)] | None = None
    attempts: int = Field(1, ge=1)
    started: str
    finished: str
    wall_seconds: Seconds = Field(description="of training and evaluation, the cell's own process only")
    best_step: Count | None = None
    validation: dict[str, Score] = {}
    test: dict[str, Score] = {}
    forgetting: dict[str, Score] = Field(
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
    cells: dict[CellId, Cell]
    cards: Cards
    environment: dict[str, Any]
    created: str


class RecordStore:
    """A results folder. Every write is to a temporary file that then takes the name: a reader, or a run
    that follows a kill, sees the whole of a record or nothing of it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def folder(self, cell_id: str) -> Path:
        """Raises ResultsError where that is no cell's id, which could lead anywhere."""
        if not _ID.fullmatch(cell_id):
            raise ResultsError(f"{self.root}: {cell_id!r} is no cell's id, which is twelve hexadecimal digits")
        return self.root / "cells" / cell_id

    def log(self, cell_id: str) -> Path:
        return self.folder(cell_id) / "log.txt"

    def read_log(self, cell_id: str, longest: int = LONGEST_LOG) -> str:
        """The last lines of what a cell printed, at most `longest` bytes of them, without terminal codes and
        secrets; empty where there is no log, or what has its name is none."""
        self.folder(cell_id)
        try:
            with disk.open_within(self.root, "cells", cell_id, "log.txt") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - longest))
                text = file.read(longest).decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, disk.Unreadable):
            return ""
        # A line that is cut could hold half of a secret.
        return redacted("…\n" + text.partition("\n")[2] if size > longest else text).strip("\n")

    def prepare(self) -> None:
        """Before a run, which holds the folder's lock: clears what writers that were killed have left behind. Raises
        ResultsError where the cells would lie elsewhere."""
        cells = self.root / "cells"
        if cells.is_symlink() or (cells.exists() and not cells.is_dir()):
            raise ResultsError(f"{cells}: is no folder, but what a run would write its records into; move it away")
        for pattern in (".manifest.json.*", "cells/*/.record.json.*"):
            for left in self.root.glob(pattern):
                if left.is_symlink() or left.is_file():
                    left.unlink(missing_ok=True)

    def make_room(self, cell_id: str) -> None:
        """Before a cell is run, its folder: whatever stands where that, the record or the log should be is moved
        aside. Raises OSError where the disk refuses."""
        folder = self.folder(cell_id)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            disk.move_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / "record.json", folder / "log.txt"):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                disk.move_aside(path)

    def write(self, record: Record) -> None:
        """Raises OSError where the disk refuses."""
        disk.write_atomically(self.folder(record.id) / "record.json", record.model_dump_json(indent=1))

    def stamp(self, cell_id: str) -> tuple[int, int] | None:
        """What changes whenever the cell's record is written."""
        try:
            found = (self.folder(cell_id) / "record.json").lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read(self, cell_id: str, cell: Cell | None = None) -> Record | None:
        """The record, or None where there is none yet. Raises BrokenRecord on what is no record of this cell (of
        `cell`, where that is given), ResultsError on one of a newer version."""
        where = self.folder(cell_id) / "record.json"
        try:
            data = disk.read_within(self.root, "cells", cell_id, "record.json", longest=LONGEST)
        except FileNotFoundError:
            return None
        except disk.Unreadable as error:
            raise BrokenRecord(f"{where}: {error}") from None
        try:
            record = Record.model_validate_json(data)
        except ValidationError as error:
            _refuse_newer(where, data)
            raise BrokenRecord(f"{where}: not a record ({_first_fault(error)})") from None
        if record.schema_version != SCHEMA:
            _refuse_newer(where, data)
        if fault := _impossible(record, cell_id, cell):
            raise BrokenRecord(f"{where}: {fault}")
        return record

    def standing(self, cell_id: str, cell: Cell, cards: Cards) -> Record | None:
        """The record of a cell under the suite's label for it, one with the status `broken` where it cannot be read or
        has scores that its task's card rules out, None where there is none yet. Raises ResultsError on one of a newer
        version."""
        try:
            record = self.read(cell_id, cell)
            if record is not None and (fault := _out_of_range(record, cards)):
                raise BrokenRecord(f"{self.folder(cell_id) / 'record.json'}: {fault}")
        except BrokenRecord as error:
            reason = f"{error}; `bench run` runs the cell again"
            return Record(
                id=cell_id, cell=cell, status="broken", reason=reason, started="", finished="", wall_seconds=0
            )
        return None if record is None else record.model_copy(update={"cell": cell})

    def records(self) -> Iterator[Record]:
        """The records of the manifest's cells, in its order, under the manifest's labels; broken ones among them."""
        manifest = self.manifest()
        for cell_id, cell in manifest.cells.items():
            if (record := self.standing(cell_id, cell, manifest.cards)) is not None:
                yield record

    def write_manifest(self, manifest: Manifest) -> None:
        """Raises OSError where the disk refuses."""
        disk.write_atomically(self.root / "manifest.json", manifest.model_dump_json(indent=1))

    def manifest(self) -> Manifest:
        """Raises NoResults where there is none yet, else ResultsError where it cannot be read."""
        where = self.root / "manifest.json"
        advice = "its records are not lost: move that file away, and `bench run` writes it anew"
        try:
            data = disk.read_within(self.root, "manifest.json", longest=LONGEST)
        except FileNotFoundError:
            hint = "run a suite first (make bench)"
            if self.root.is_dir() and (found := sorted(p.parent.name for p in self.root.glob("*/manifest.json"))):
                hint = "did you mean " + " or ".join(str(self.root / name) for name in found) + "?"
            raise NoResults(f"{self.root}: no results here (manifest.json is missing); {hint}") from None
        except disk.Unreadable as error:
            raise ResultsError(f"{where}: {error}; {advice}") from None
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            _refuse_newer(where, data)
            raise ResultsError(f"{where}: not a manifest ({_first_fault(error)}); {advice}") from None
        if manifest.schema_version != SCHEMA:
            _refuse_newer(where, data)
        return manifest


def _first_fault(error: ValidationError) -> str:
    """Where the first fault lies, and what is wrong there."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])).removesuffix(".[key]") or "the file"
    if first["type"] == "string_pattern_mismatch":
        return redacted(f"{place!r}: a cell's id is twelve hexadecimal digits")
    return redacted(" ".join(f"{place}: {first['msg']}".split()))


def _refuse_newer(path: Path, data: bytes) -> None:
    """Raises ResultsError where the file was written by a version that knows more than this one."""
    try:
        found = from_json(data)
    except ValueError:
        return
    version = found.get("schema_version") if isinstance(found, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ResultsError(
            f"{path}: was written by a newer version of adaptbench (its schema is {version}, this version reads up to"
            f" {SCHEMA}); update adaptbench to go on with it"
        )


def _impossible(record: Record, cell_id: str, cell: Cell | None) -> str | None:
    """Why a record that reads well cannot be that of this cell."""
    if record.id != cell_id:
        return f"is the record of another cell, {record.id!r}"
    if cell is not None and _identity(record.cell) != _identity(cell):
        return "describes another cell than the suite has under this id"
    if record.status == "broken" or record.schema_version < 1:
        return "was not written by a run"
    if record.status in ("trained", "ok") and not record.test:
        return f"has the status {record.status!r}, and no test scores"
    if record.forgetting and set(record.forgetting) != {"before", "after"}:
        return "has another forgetting than `before` and `after`"
    return None


def _out_of_range(record: Record, cards: Cards) -> str | None:
    """Which score cannot be. Undefined ones can, and those of a metric whose range was only assumed; cards of old say
    nothing of a range."""
    card = cards.get("tasks", {}).get(record.cell.task) or {}
    scales, assumed = card.get("scales"), card.get("assumed")
    assumed = assumed if isinstance(assumed, list | tuple) else ()
    for split, scores in (("validation", record.validation), ("test", record.test)):
        for name, value in scores.items():
            scale = scales.get(name) if isinstance(scales, dict) and name not in assumed else None
            low, high = (scale.get("low"), scale.get("high")) if isinstance(scale, dict) else (None, None)
            slack = 1e-6 * max(1.0, abs(value)) if math.isfinite(value) else math.inf
            below = isinstance(low, int | float) and value < low - slack
            if below or (isinstance(high, int | float) and value > high + slack):
                return f"has a {split} {name} of {value:g}, which is outside of the range of the task's card"
    return None


def _identity(cell: Cell) -> str:
    """As JSON has it, where a tuple is a list; the label is no part of it."""
    return json.dumps(cell.model_dump(mode="json", exclude={"label"}), sort_keys=True)


def to_plain(card: Any) -> dict[str, Any]:
    """A card (a dataclass) as the plain data that a manifest holds."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(card)))
