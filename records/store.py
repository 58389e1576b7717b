"""What a results folder holds, and the only code that reads or writes it. Imports no torch.

results/embedded/
  manifest.json            the resolved suite, its cells, and the cards of all that takes part
  cells/<id>/record.json   what a cell leaves behind
  cells/<id>/log.txt       what it printed
  cells/<id>/predictions.parquet, state.safetensors   what its model answered, and what its method learnt
  cells/<id>/checkpoint.pt   what its training is to go on from, until it has a record (bench.checkpoints)
  cells/<id>/published.json   the file that a record was read from, where others published it
  examples/<task>-<digest>.parquet   the texts of a task's test examples, once for all cells
  slurm/                   what was handed to a cluster (bench.launchers.journal), of no use once its jobs have ended

A folder may come from a stranger, or from a disk that was full: nothing outside it is read, and what cannot be read
is one broken cell, not the end of the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ValidationError

from records import files, migration
from records.cards import Cards
from records.cell import Cell
from records.record import SCHEMA, KeptFile, Manifest, Record
from records.redaction import redacted
from records.text import one_line

# pyarrow is imported where predictions are read or written: most commands do neither, and start sooner without.
if TYPE_CHECKING:
    from records.predictions import Predictions

# No record or manifest comes near: what is larger is none.
LONGEST = 256 * 2**20
# Of what a method learnt: a model's whole weights at most.
LONGEST_STATE = 64 * 2**30
# Of a training that is under way, or was cut off.
CHECKPOINT = "checkpoint.pt"
# After the name of a file that is to take another's place.
NEXT = ".next"
# Of a log that is shown; the file may hold more.
LONGEST_LOG = 2**18

_ID = re.compile(r"[0-9a-f]{12}")


class ResultsError(Exception):
    """A results folder cannot be used; the message is one line for the user."""


class NoResults(ResultsError):
    """The folder has no manifest."""


class BrokenRecord(ResultsError):
    """There is something where a cell's record should be, and it is none of this cell's."""


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
        """Where a cell's log is, whether there is one or not."""
        return self.folder(cell_id) / "log.txt"

    @staticmethod
    def checkpoint_parts(cell_id: str) -> tuple[str, ...]:
        """Where below the folder a cell's training is saved."""
        return "cells", cell_id, CHECKPOINT

    def checkpoint(self, cell_id: str) -> Path:
        """Where a cell's training is saved while it is under way, whether it is or not."""
        return self.folder(cell_id) / CHECKPOINT

    def remove_checkpoint(self, cell_id: str) -> None:
        """Once nobody will go on from it; what a disk does not let go stays."""
        with contextlib.suppress(OSError):
            self.checkpoint(cell_id).unlink(missing_ok=True)

    def read_log(self, cell_id: str, longest: int = LONGEST_LOG) -> str:
        """The last lines of what a cell printed, at most `longest` bytes of them, without terminal codes and
        secrets; empty where there is no log, or what has its name is none."""
        self.folder(cell_id)
        try:
            with files.open_within(self.root, "cells", cell_id, "log.txt") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - longest))
                text = file.read(longest).decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, files.Unreadable):
            return ""
        # A line that is cut could hold half of a secret.
        return redacted("…\n" + text.partition("\n")[2] if size > longest else text).strip("\n")

    def prepare(self) -> None:
        """Before a run, which holds the folder's lock: clears what writers that were killed have left behind. Raises
        ResultsError where the cells would lie elsewhere."""
        cells = self.root / "cells"
        if cells.is_symlink() or (cells.exists() and not cells.is_dir()):
            raise ResultsError(f"{cells}: is no folder, but what a run would write its records into; move it away")
        beside = [f"cells/*/.*.{kind}.*" for kind in ("json", "parquet", "safetensors", "pt")]
        for pattern in (".manifest.json.*", ".lock-holder.json.*", "examples/.*.parquet.*", *beside):
            for left in self.root.glob(pattern):
                if left.is_symlink() or left.is_file():
                    left.unlink(missing_ok=True)

    def make_room(self, cell_id: str) -> None:
        """Before a cell is run, its folder: whatever stands where that, the record or the log should be is moved
        aside. Raises OSError where the disk refuses."""
        folder = self.folder(cell_id)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            files.move_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / name for name in ("record.json", "log.txt", CHECKPOINT, *get_args(KeptFile))):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                files.move_aside(path)

    def write(self, record: Record) -> None:
        """Raises OSError where the disk refuses."""
        files.write_atomically(self.folder(record.id) / "record.json", record.model_dump_json(indent=1))

    def keep(self, cell_id: str, name: KeptFile, data: bytes) -> str:
        """Writes a file beside the cell's record, and returns its digest. Raises OSError where the disk refuses."""
        files.write_atomically(self.folder(cell_id) / name, data)
        return hashlib.sha256(data).hexdigest()

    def replace_kept(self, record: Record, name: KeptFile, data: bytes) -> None:
        """Exchanges a file beside a cell's record, and writes the record with it. Cut off at any point, the one or the
        other file goes with the record that is there. Raises OSError where the disk refuses."""
        following = self.folder(record.id) / (name + NEXT)
        files.write_atomically(following, data)
        record.kept[name] = hashlib.sha256(data).hexdigest()
        self.write(record)
        os.replace(following, self.folder(record.id) / name)

    def kept(self, record: Record, name: KeptFile) -> bytes | None:
        """A file beside a cell's record, None where the record has none or it was pruned. Raises BrokenRecord where it
        is not the one that the record was written with."""
        if name not in record.kept:
            return None
        where = self.folder(record.id) / name
        there = False
        for candidate in (name, name + NEXT):
            try:
                data = files.read_within(self.root, "cells", record.id, candidate, longest=LONGEST_STATE)
            except FileNotFoundError:
                continue
            except files.Unreadable as error:
                raise BrokenRecord(f"{where}: {error}") from None
            there = True
            if hashlib.sha256(data).hexdigest() == record.kept[name]:
                return data
        if there:
            raise BrokenRecord(f"{where}: is not the file that the record was written with")
        return None

    def sizes(self, record: Record) -> dict[KeptFile, int]:
        """Bytes of the files that are kept beside a cell's record."""
        found: dict[KeptFile, int] = {}
        for name in record.kept:
            with contextlib.suppress(OSError):
                found[name] = (self.folder(record.id) / name).lstat().st_size
        return found

    def prune(self, names: Collection[KeptFile | Literal["examples", "checkpoints"]]) -> Iterator[Path]:
        """Removes files that cells have kept, and those of any kind that no record speaks of; yields what is gone. The
        caller holds the folder's lock. Raises OSError."""
        manifest = self.manifest()
        for cell_id, cell in manifest.cells.items():
            record = self.standing(cell_id, cell, manifest.cards)
            for name in get_args(KeptFile):
                path = self.folder(cell_id) / name
                if record is None or record.status == "broken":
                    continue
                if (name in names or name not in record.kept) and (path.is_symlink() or path.is_file()):
                    path.unlink()
                    yield path
            if record is not None and record.status != "broken" and (gone := [n for n in names if n in record.kept]):
                kept = {name: digest for name, digest in record.kept.items() if name not in gone}
                self.write(record.model_copy(update={"kept": kept}))
        patterns = {"examples": "examples/*.parquet", "checkpoints": f"cells/*/{CHECKPOINT}"}
        for pattern in (pattern for name, pattern in patterns.items() if name in names):
            for path in sorted(self.root.glob(pattern)):
                path.unlink()
                yield path

    def predictions(self, record: Record) -> Predictions | None:
        """What the cell's model answered, None where that was not kept. Raises BrokenRecord."""
        from records import predictions

        data = self.kept(record, "predictions.parquet")
        try:
            return None if data is None else predictions.from_bytes(data)
        except predictions.UnusablePredictions as error:
            raise BrokenRecord(f"{self.folder(record.id) / predictions.FILE}: {error}") from None

    def write_texts(self, task: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Keeps the test examples of a task, raw columns by id, unless the very same are there. Raises OSError."""
        from records import predictions

        digest = hashlib.sha256("\n".join([task, *sorted(rows)]).encode()).hexdigest()[:12]
        readable = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in task)[:60]
        path = self.root / "examples" / f"{readable}-{digest}.parquet"
        if not path.is_file():
            files.write_atomically(path, predictions.texts_to_bytes(rows))

    def texts(self) -> dict[str, dict[str, Any]]:
        """The raw columns of all test examples that were kept, by id; files that cannot be used are left out."""
        from records import predictions

        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.root.glob("examples/*.parquet")):
            with contextlib.suppress(FileNotFoundError, files.Unreadable, predictions.UnusablePredictions):
                data = files.read_within(self.root, "examples", path.name, longest=LONGEST_STATE)
                found |= predictions.texts_from_bytes(data)
        return found

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
            data = files.read_within(self.root, "cells", cell_id, "record.json", longest=LONGEST)
        except FileNotFoundError:
            return None
        except files.Unreadable as error:
            raise BrokenRecord(f"{where}: {error}") from None
        try:
            record = migration.read(Record, data)
        except migration.NewerSchema as error:
            raise ResultsError(f"{where}: {error}") from None
        except ValidationError as error:
            raise BrokenRecord(f"{where}: not a record ({_first_fault(error)})") from None
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
        files.write_atomically(self.root / "manifest.json", manifest.model_dump_json(indent=1))

    def manifest(self) -> Manifest:
        """Raises NoResults where there is none yet, else ResultsError where it cannot be read."""
        where = self.root / "manifest.json"
        advice = "its records are not lost: move that file away, and `bench run` writes it anew"
        try:
            data = files.read_within(self.root, "manifest.json", longest=LONGEST)
        except FileNotFoundError:
            hint = "run a suite first (make bench)"
            if self.root.is_dir() and (found := sorted(p.parent.name for p in self.root.glob("*/manifest.json"))):
                hint = "did you mean " + " or ".join(str(self.root / name) for name in found) + "?"
            raise NoResults(f"{self.root}: no results here (manifest.json is missing); {hint}") from None
        except files.Unreadable as error:
            raise ResultsError(f"{where}: {error}; {advice}") from None
        try:
            return migration.read(Manifest, data)
        except migration.NewerSchema as error:
            raise ResultsError(f"{where}: {error}") from None
        except ValidationError as error:
            if fault := _faulty_card(error):
                raise ResultsError(f"{where}: {fault}") from None
            raise ResultsError(f"{where}: not a manifest ({_first_fault(error)}); {advice}") from None


def _faulty_card(error: ValidationError) -> str | None:
    """Which card cannot be used, where that is the fault."""
    first = error.errors()[0]
    match first["loc"]:
        case ("cards", str(kind), str(name), *place):
            at = ".".join(map(str, place))
            said = one_line(f"{at + ': ' if at else ''}{first['msg'].removeprefix('Value error, ')}")
            whose = name if len(name) <= 80 else f"{name[:79]}…"
            return redacted(f"the card of the {kind.removesuffix('s')} {whose!r} cannot be used: {said}")
    return None


def _first_fault(error: ValidationError) -> str:
    """Where the first fault lies, and what is wrong there."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])).removesuffix(".[key]") or "the file"
    if first["type"] == "string_pattern_mismatch":
        return redacted(f"{place!r}: a cell's id is twelve hexadecimal digits")
    return redacted(one_line(f"{place}: {first['msg']}"))


def _impossible(record: Record, cell_id: str, cell: Cell | None) -> str | None:
    """Why a record that reads well cannot be that of this cell."""
    if record.id != cell_id:
        return f"is the record of another cell, {record.id!r}"
    # Equal cells need no JSON, which takes longer than all the rest.
    if cell is not None and record.cell != cell and _identity(record.cell) != _identity(cell):
        return "describes another cell than the suite has under this id"
    if record.status == "broken" or record.schema_version != SCHEMA:
        return "was not written by a run"
    if record.status in ("trained", "ok") and not record.test and record.cell.stop is None:
        return f"has the status {record.status!r}, and no test scores"
    if record.forgetting and set(record.forgetting) != {"before", "after"}:
        return "has another forgetting than `before` and `after`"
    return None


def _out_of_range(record: Record, cards: Cards) -> str | None:
    """Which score cannot be. Undefined ones can, and those of a metric whose range was only assumed."""
    card = cards.tasks.get(record.cell.task)
    if card is None:
        return None
    for split, scores in (("validation", record.validation), ("test", record.test)):
        for name, value in scores.items():
            if name in card.scales and name not in card.assumed and not card.scales[name].allows(value):
                return f"has a {split} {name} of {value:g}, which is outside of the range of the task's card"
    return None


def _identity(cell: Cell) -> str:
    """As JSON has it, where a tuple is a list; the label is no part of it."""
    return json.dumps(cell.model_dump(mode="json", exclude={"label", "adapter"}), sort_keys=True)
