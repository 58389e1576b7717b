"""Your own data as a task: `files:reviews.csv`, with the names of its columns as options.

One file is split by a hash of its texts; a folder holds `train`, `test` and, if there is one, `validation` (else a
share of train, by the same hash). How files are read is in tasks/tables.py, what becomes of cells in tasks/columns.py,
and of columns in tasks/mapped.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from typing_extensions import override

from records.text import composed
from tasks import tables
from tasks.mapped import ColumnOptions, MappedTask
from tasks.splits import SHARES
from tasks.table import LARGEST, Table, garbling

EXAMPLE = "<path>"
# Part of a cell's identity: raise it whenever the same file gives other examples.
READING = 2
# How the files of a folder may be called.
SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(("validation", "valid", "val", "dev"), "validation")


class FileOptions(ColumnOptions):
    """Of a workbook also the sheet."""

    sheet: str | None = Field(None, description="the sheet of a workbook (.xlsx); by default its first")

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """It came later: without one the options are what they were, and cells keep their ids."""
        return {name: value for name, value in plain(self).items() if name != "sheet" or value is not None}


class FileTask(MappedTask):
    """A file, or a folder of files."""

    Options = FileOptions
    path: ClassVar[Path]
    # By split: what the revision is a digest of, and nothing read later, is what is used.
    contents: ClassVar[Mapping[str, tuple[Path, bytes]]]

    @property
    @override
    def place(self) -> str:
        return str(self.path)

    @override
    def read_tables(self, names: Sequence[str]) -> dict[str, Table]:
        assert isinstance(self.options, FileOptions)
        sheet = self.options.sheet
        return {split: tables.read(path, content, names, sheet) for split, (path, content) in self.contents.items()}

    @override
    def about(self) -> dict[str, Any]:
        return {
            "name": f"files:{self.path.name}", "title": _title(self.path), "summary": "The user's own data",
            "licence": "the user's own", "citation": "", "bibtex": "", "offline": True,
        }  # fmt: skip


def _title(path: Path) -> str:
    """A folder's name, or a file's without what tells its format."""
    if path.is_dir():
        return path.name
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).stem


class Registry(Protocol):
    """What of the engine's registry a file needs: where it is seen from."""

    @property
    def base(self) -> Path:
        """The suite's folder."""


def get(description: str, registry: Registry) -> type[FileTask]:
    """The class of the task of a file or folder, seen from the suite's folder. Raises ValueError where there is
    none, or it cannot be read."""
    if letter := garbling(description):
        raise ValueError(f"{description!r}: holds {letter!r}; rename the file, and name it without")
    given = Path(description)
    try:
        place = _on_disk(registry.base / given.expanduser())
        files = {split: (file, _content(file)) for split, file in _files(place).items()}
    except OSError as error:
        raise ValueError(f"{given}: cannot be read: {error.strerror or error}") from None
    except RuntimeError as error:  # of `~nobody`
        raise ValueError(f"{given}: {error}") from None
    digest = hashlib.sha256()
    for split, (file, content) in files.items():
        digest.update(f"{split} {tables.format_of(file)} ".encode() + content)

    class Made(FileTask):
        path = place
        contents = files
        revision = f"{READING}+{digest.hexdigest()[:12]}"

    return Made


def _on_disk(path: Path) -> Path:
    """The path as the file system spells it, for which an umlaut may be one character or two."""
    if path.exists() or path == path.parent:
        return path
    folder = _on_disk(path.parent)
    twins = [each for each in folder.iterdir() if composed(each.name) == composed(path.name)] if folder.is_dir() else []
    return twins[0] if len(twins) == 1 else folder / path.name


def _content(path: Path) -> bytes:
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path}: is of {size / 1024**3:.3g} GiB, more than {LARGEST / 1024**3:g}; take a part of it")
    return path.read_bytes()


def _files(path: Path) -> dict[str, Path]:
    """The file of every split that is there; of a single file, `train`."""
    if path.is_file():
        tables.format_of(path)
        return {"train": path}
    if not path.is_dir():
        what = "is neither a file nor a folder" if path.exists() else "no such file or folder"
        raise ValueError(f"{path}: {what}; paths are seen from the suite's folder")
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        name, _, suffix = file.name.lower().removesuffix(".gz").rpartition(".")
        split = SPLITS.get(name)
        if split is None or f".{suffix}" not in tables.FORMATS or not file.is_file():
            continue
        if split in found:
            raise ValueError(f"{path}: holds both {found[split].name} and {file.name}; take one of them out")
        found[split] = file
    if missing := [split for split in ("train", "test") if split not in found]:
        others = ", ".join(tables.FORMATS[1:])
        raise ValueError(f"{path}: holds no {missing[0]}.csv (or {others}; or .gz of them)")
    return {split: found[split] for split in SHARES if split in found}
