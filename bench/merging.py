"""`bench merge`: results folders of several machines, or of parts of a suite, become one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import comparable
from bench.locking import only_one
from records import files
from records.cards import Cards
from records.cell import Cell
from records.record import Manifest, Record
from records.store import LONGEST, LONGEST_STATE, RecordStore, ResultsError
from records.text import escaped, listing

# What two records of one cell must agree in: all that is no matter of time or of cost.
MATTERS = ("status", "test", "validation", "best_step", "history", "parameters", "data", "forgetting")
FAULTS_SHOWN = 20
FINISHED = ("ok", "trained", "n/a")


@dataclass
class Merged:
    """What a merge came to: how many cells the new folder has, of which so many were in several; and lines for the
    user."""

    cells: int = 0
    shared: int = 0
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """One of the folders, as the user named it, with its records that can be read."""

    name: str
    store: RecordStore
    manifest: Manifest
    records: dict[str, Record]


def merge(folders: Sequence[Path], root: Path, allow: Sequence[str] = (), prefer_first: bool = False) -> Merged:
    """Joins results folders into `root`. The manifest is written last: a merge that was cut off leaves none, and can be
    repeated. `allow` names what may differ (`comparable.ASPECTS`); with `prefer_first`, of two finished records of one
    cell that differ the first folder's is kept.

    Raises ResultsError, with a line for each that is not comparable or in conflict; OSError where the disk refuses.
    """
    _apart(folders, root)
    found = Merged()
    parts = [_read(folder, found) for folder in folders]
    if len({bool(part.manifest.cells) and _is_published(part) for part in parts}) > 1:
        raise ResultsError("results of runs and results that others published are not merged: report them apart")
    parts = _relabelled(parts)
    differences = comparable.differences([(part.name, list(part.records.values())) for part in parts])
    faults = [
        f"{each}; --allow {each.aspect} merges them all the same, and the report says so"
        for each in differences
        if each.aspect not in allow
    ]
    chosen = {}
    for cell_id in dict.fromkeys(cell_id for part in parts for cell_id in part.manifest.cells):
        of = [part for part in parts if cell_id in part.records]
        chosen[cell_id], fault = _choose(cell_id, of, prefer_first)
        faults += [fault] if fault else []
        found.shared += len(of) > 1
    faults += _conflicts(parts)
    if faults:
        more = [f"and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
        raise ResultsError("\n       ".join([*faults[:FAULTS_SHOWN], *more]))
    store = RecordStore(root)
    with only_one(root):
        _of_an_earlier_merge(store)
        store.prepare()
        for cell_id, part in chosen.items():
            if part is not None:
                _copy(part, cell_id, store)
        for part in parts:
            _copy_examples(part.store, store)
        manifest = _manifest(parts, [str(each) for each in differences])
        store.write_manifest(manifest)
    found.cells = len(manifest.cells)
    return found


def _apart(folders: Sequence[Path], root: Path) -> None:
    if len(folders) < 2:
        raise ResultsError("a merge takes two results folders or more")
    real = [folder.resolve() for folder in folders]
    if len(set(real)) < len(real):
        raise ResultsError("a folder is named twice")
    for folder in real:
        if root.resolve().is_relative_to(folder) or folder.is_relative_to(root.resolve()):
            raise ResultsError(f"{root}: the merged results need a folder of their own, apart from {folder}")


def _of_an_earlier_merge(store: RecordStore) -> None:
    """Raises ResultsError where the folder has results of another kind."""
    if (store.root / "manifest.json").exists() and "merged" not in store.manifest().suite:
        raise ResultsError(f"{store.root}: holds results already; name a folder that is new")


def _read(folder: Path, found: Merged) -> Part:
    store = RecordStore(folder)
    manifest = store.manifest()
    records = {}
    for cell_id, cell in manifest.cells.items():
        record = store.standing(cell_id, cell, manifest.cards)
        if record is not None and record.status == "broken":
            found.lines.append(f"{folder}: the record of {cell_id} cannot be read, and is left out")
        elif record is not None:
            records[cell_id] = record
    return Part(escaped(str(folder)), store, manifest, records)


def _is_published(part: Part) -> bool:
    return any(cell.budget is None for cell in part.manifest.cells.values())


def _relabelled(parts: Sequence[Part]) -> list[Part]:
    """A configuration has the label that the first folder gives it."""
    labels: dict[str, str] = {}
    made = []
    for part in parts:
        cells = {}
        for cell_id, cell in part.manifest.cells.items():
            label = labels.setdefault(cell.configuration, cell.label)
            cells[cell_id] = cell.model_copy(update={"label": label})
        manifest = part.manifest.model_copy(update={"cells": cells})
        records = {i: record.model_copy(update={"cell": cells[i]}) for i, record in part.records.items()}
        made.append(Part(part.name, part.store, manifest, records))
    return made


def _choose(cell_id: str, parts: Sequence[Part], prefer_first: bool) -> tuple[Part | None, str | None]:
    """Whose record of a cell is kept: of a finished one, of one with its cost, of the first; or why that cannot be
    said."""
    finished = [part for part in parts if part.records[cell_id].status in FINISHED]
    if not finished:
        return (parts[0] if parts else None), None
    first = finished[0]
    for other in finished[1:]:
        said = _difference(first.records[cell_id], other.records[cell_id])
        if said and not prefer_first:
            cell = first.records[cell_id].cell
            fault = f"cell {cell_id} ({cell}): {said[0]} is {said[1]} in {first.name} and {said[2]} in {other.name}"
            return first, f"{fault}; --prefer-first keeps that of {first.name}"
        if not said and first.records[cell_id].cost is None and other.records[cell_id].cost is not None:
            first = other
    return first, None


def _difference(one: Record, other: Record) -> tuple[str, str, str] | None:
    """The first thing that matters in which two records differ, and both values. A profile is no difference."""
    done = {"ok": "trained"}
    later = one.rescored.keys() | other.rescored.keys()  # metrics that one may have, and the other not yet
    values = [record.model_dump(mode="json", include=set(MATTERS)) for record in (one, other)]
    for value in values:
        value["status"] = done.get(value["status"], value["status"])
        value["test"] = {name: score for name, score in value["test"].items() if name not in later}
    for name in MATTERS:
        a, b = (value[name] for value in values)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            key = next(key for key in (*a, *b) if a.get(key) != b.get(key))
            return f"{name} {key}", str(a.get(key)), str(b.get(key))
        return (name, str(a), str(b)) if not isinstance(a, list) else (name, "one", "another")
    return None


def _conflicts(parts: Sequence[Part]) -> list[str]:
    """Labels that two folders give to what is not the same, and tasks that they read otherwise."""
    return [*_ambiguous(parts), *_read_otherwise(parts)]


def _ambiguous(parts: Sequence[Part]) -> Iterator[str]:
    seen: dict[tuple[str, str, str], tuple[Part, dict[str, Cell]]] = {}
    for part in parts:
        own: dict[tuple[str, str, str], dict[str, Cell]] = {}
        for cell in part.manifest.cells.values():
            own.setdefault((cell.backbone, cell.label, cell.task), {})[cell.configuration] = cell
        for key, cells in own.items():
            first, others = seen.setdefault(key, (part, cells))
            if cells.keys() != others.keys():
                a, b = next(iter(others.values())), next(iter(cells.values()))
                names = [name for name in Cell.model_fields if name not in ("seed", "label")]
                differs = next((name for name in names if getattr(a, name) != getattr(b, name)), "engine's revision")
                where = f"{key[1]} on {key[2]} ({key[0]})"
                yield f"{where}: has another {differs.replace('_', ' ')} in {first.name} than in {part.name}"


def _read_otherwise(parts: Sequence[Part]) -> Iterator[str]:
    seen: dict[str, tuple[Part, object]] = {}
    for part in parts:
        for name, card in part.manifest.cards.tasks.items():
            first, scales = seen.setdefault(name, (part, card.scales))
            if card.scales != scales:
                yield f"{name}: its scores are read otherwise in {first.name} than in {part.name}"


def _copy(part: Part, cell_id: str, store: RecordStore) -> None:
    """The files first, then the record that names them."""
    record = part.records[cell_id]
    store.make_room(cell_id)
    kept = {}
    for name in record.kept:
        if (data := part.store.kept(record, name)) is not None:
            kept[name] = store.keep(cell_id, name, data)
    try:
        log = files.read_within(part.store.root, "cells", cell_id, "log.txt", longest=LONGEST)
        files.write_atomically(store.log(cell_id), log)
    except (FileNotFoundError, files.Unreadable):
        pass
    store.write(record.model_copy(update={"kept": kept}))


def _copy_examples(source: RecordStore, store: RecordStore) -> None:
    """Their names tell what they hold."""
    for path in sorted((source.root / "examples").glob("*.parquet")):
        target = store.root / "examples" / path.name
        if not re.fullmatch(r"[\w-]+\.parquet", path.name) or target.exists():
            continue
        try:
            files.write_atomically(target, files.read_within(source.root, "examples", path.name, longest=LONGEST_STATE))
        except (FileNotFoundError, files.Unreadable):
            continue


def _manifest(parts: Sequence[Part], mixed: list[str]) -> Manifest:
    """The suite is the first folder's with the axes of all; `mixed` says what was merged though it differs."""
    first, names = parts[0].manifest, [part.name for part in parts]
    suites = [part.manifest.suite for part in parts]
    suite = first.suite | {"merged": names, "origin": f"a merge of {listing(names)}"}
    mixed = [*dict.fromkeys([*(line for each in suites for line in _lines(each.get("mixed"))), *mixed])]
    suite |= {"mixed": mixed} if mixed else {}
    for axis in ("backbones", "seeds", "plugins"):
        values = [value for each in suites if isinstance(each.get(axis), list) for value in each[axis]]
        suite |= {axis: list({str(value): value for value in values}.values())} if values else {}
    for axis in ("tasks", "methods"):
        merged = {
            key: value for each in suites if isinstance(each.get(axis), dict) for key, value in each[axis].items()
        }
        suite |= {axis: merged} if merged else {}
    suite["left_out"] = _left_out(suites, suite)
    if len({str(each.get("command")) for each in suites}) > 1:
        suite.pop("command", None)
    cards = Cards()
    for part in reversed(parts):
        cards = cards | part.manifest.cards
    cells: dict[str, Cell] = {}
    for part in parts:
        cells |= {cell_id: cell for cell_id, cell in part.manifest.cells.items() if cell_id not in cells}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(suite=suite, cells=cells, cards=cards, environment=first.environment, created=now)


def _left_out(suites: Sequence[dict[str, Any]], merged: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What no folder had cells of."""
    lost = {}
    for axis in ("methods", "tasks"):
        found = {key: why for each in suites for key, why in _entries(_entries(each.get("left_out")).get(axis)).items()}
        lost[axis] = {key: why for key, why in found.items() if key not in _entries(merged.get(axis))}
    return {axis: found for axis, found in lost.items() if found}


def _entries(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _lines(value: object) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else []
