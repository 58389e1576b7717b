"""A results folder as one folder that a static host serves as it is: the report's page, its PDF, the records.

    index.html, report.pdf    the report, with its sources, tables/ and figures/
    results/                  manifest and records, which the page links to, and what cells answered
    records.tar.xz            manifest and records alone, as one file that `bench report` reads once it is unpacked
    data/*.parquet            the same as tidy tables
    manifest.json             every file with its SHA-256 and its size

Nothing else of the results is in it: no logs, no states, no paths of a machine (`records.public`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records import archive, files
from records.files import Occupied, new_folder
from records.formats import tables
from records.formats.names import portable
from records.public import Public
from records.store import RecordStore, ResultsError
from reports.build import build_report

FORMAT = "adaptbench publication, 1"
MANIFEST = "manifest.json"
RESULTS, ARCHIVE, TABLES, PDF = "results", f"records{archive.ENDING}", "data", "report.pdf"


@dataclass(frozen=True)
class Publication:
    """What was written, and lines that say so; `whole` where every record could be read."""

    folder: Path
    lines: tuple[str, ...]
    whole: bool


def publish(
    results: Path, folder: Path, topic: str = "all", template: Path | None = None, texts: bool = False
) -> Publication:
    """Writes the folder, which must not be there, be empty, or be an earlier publication, whose place it takes.
    Raises ResultsError where it is anything else, the results cannot be read, or something private would be in it."""
    public = Public(RecordStore(results))
    try:
        with new_folder(folder, replaces=is_publication(folder)) as fresh:
            store = public.write(fresh / RESULTS, texts)
            downloads = _records(store, public, fresh)
            report = build_report(store.root, fresh, topic, template, downloads=downloads)
            # What LaTeX leaves there is of no use to anybody, and holds paths.
            shutil.rmtree(fresh / "build", ignore_errors=True)
            if report.pdf is None:
                _withdraw(report.page, PDF)
            _check_private(fresh, (results.absolute(), Path.cwd(), Path.home()))
            listed = _write_manifest(fresh, str(public.manifest.suite.get("name", "")))
    except Occupied as error:
        raise ResultsError(str(error)) from None
    size = sum(entry["bytes"] for entry in listed.values()) / 1e6
    pdf = "with a PDF" if report.pdf else "without a PDF, for which there is no LaTeX here"
    said = f"{len(listed) + 1} files, {size:.1f} MB, {pdf}; index.html is the page, manifest.json lists every file"
    lines = (report.lines[0], f"wrote {folder}: {said}", *([public.unreadable] if public.unreadable else []))
    return Publication(folder, lines, public.unreadable is None)


def is_publication(folder: Path) -> bool:
    """Whether an earlier publication is all that is there: every file is one of those that it lists."""
    try:
        told = json.loads(files.read_within(folder, MANIFEST, longest=64 * 2**20))
        known = told["files"].keys() | {MANIFEST} if told["format"] == FORMAT else set()
    except (OSError, files.Unreadable, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all(path.relative_to(folder).as_posix() in known for path in _files(folder))


def _records(store: RecordStore, public: Public, folder: Path) -> list[tuple[str, str]]:
    """Archive and tables; returns what the page offers for download, by title and relative address."""
    # A folder in an archive has no dot in its name.
    name = portable(str(public.manifest.suite.get("name") or "results").replace(".", "-"))
    files.write_atomically(folder / ARCHIVE, archive.pack(store, name, complete=False))
    (folder / TABLES).mkdir()
    tables.write_cells(folder / TABLES / tables.CELLS, public.manifest, public.records)
    answers = tables.write_predictions(folder / TABLES / tables.PREDICTIONS, store, public.records.values())
    offered = [("the report as PDF", PDF), ("records", ARCHIVE), ("cells", f"{TABLES}/{tables.CELLS}")]
    offered += [("predictions", f"{TABLES}/{tables.PREDICTIONS}")] if answers else []
    return [*offered, ("all files with their checksums", MANIFEST)]


def _withdraw(page: Path, address: str) -> None:
    """Takes a download off the page that there is not, as the PDF without LaTeX."""
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(f'<a href="{re.escape(address)}">[^<]*</a>, ', "", text), encoding="utf-8")


def _check_private(folder: Path, places: tuple[Path, ...]) -> None:
    """Raises ResultsError where a file still holds where something lies on this machine. What others published is
    public already, and names places on theirs."""
    told = [os.fsencode(f"{place}/") for place in places if len(place.parts) > 1]
    for path in (path for path in _files(folder) if path.name != "published.json"):
        data = path.read_bytes()
        if found := next((place for place in told if place in data), None):
            name = path.relative_to(folder).as_posix()
            raise ResultsError(
                f"{name}: would hold {os.fsdecode(found)}, a place on this machine; nothing is published"
            )


def _write_manifest(folder: Path, suite: str) -> dict[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = {}
    for path in _files(folder):
        data = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        listed[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    text = json.dumps({"format": FORMAT, "suite": suite, "files": listed}, indent=1, ensure_ascii=False)
    files.write_atomically(folder / MANIFEST, text + "\n")
    return listed


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()))
