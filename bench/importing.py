"""`bench import`: results that others published, into a results folder that is read like any other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.locking import only_one
from methods.library.peft_types import FAMILIES
from methods.papers import PAPERS
from records import files
from records.cards import BackboneCard, Cards, MethodCard, TaskCard
from records.formats import peft
from records.formats.peft_file import LONGEST, Experiment, UnusableFile, read
from records.record import Manifest, Record
from records.store import NoResults, RecordStore, ResultsError
from records.text import escaped
from tasks.papers import bibtex

NOTES = (
    "Hyperparameters are those of the published experiments. How they were chosen, in how many trials, on which data,"
    " the files do not say."
)
_LIBRARY = "mangrulkar2022peft"


@dataclass
class Imported:
    """What an import came to: experiments that are new, took the place of an earlier file of the same name, or were
    there before; and a line for each file that could not be used."""

    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """For the user."""
        said = [f"{each}: its file has changed; the new one took its place" for each in self.replaced]
        counts = f"imported {len(self.new)} new and {len(self.replaced)} changed experiments"
        there = f"; {len(self.known)} were there already" if self.known else ""
        return [*self.faults, *said, counts + there]


def import_peft(folder: Path, root: Path) -> Imported:
    """Reads the result files of huggingface/peft that lie in `folder` into the results folder `root`. A file whose very
    content is there already is left as it is. Raises ResultsError where there is no such file, or the results folder is
    one of runs; OSError where the disk refuses."""
    names = _names(folder)
    store = RecordStore(root)
    with only_one(root):
        store.prepare()
        manifest = _manifest(store)
        found, by_experiment = Imported(), _by_experiment(store, manifest)
        read_before: dict[str, str] = {}
        for experiment in _experiments(folder, names, found):
            name = experiment.experiment
            if name in read_before:
                found.faults.append(f"{experiment.name}: is of the experiment {name}, as {read_before[name]} is")
                continue
            read_before[name] = experiment.name
            before = by_experiment.get(name)
            if before is not None and before.published and before.published.digest == experiment.digest:
                found.known.append(name)
                continue
            (found.new if before is None else found.replaced).append(name)
            _add(store, manifest, experiment, before)
        if found.new or found.replaced:
            store.write_manifest(manifest)
            _clear(store, manifest)
        return found


def _names(folder: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".json"))
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be read: {error.strerror}") from None
    if not names:
        below = sorted({path.parent.relative_to(folder).as_posix() for path in folder.glob("**/*.json")})[:3]
        hint = f"; did you mean {' or '.join(str(folder / each) for each in below)}?" if below else ""
        raise ResultsError(f"{folder}: holds no result file (*.json){hint}")
    return names


def _manifest(store: RecordStore) -> Manifest:
    """The folder's own, or a new one."""
    try:
        manifest = store.manifest()
    except NoResults:
        what = f"an import of {peft.SOURCE}"
        suite = {"name": store.root.resolve().name, "description": f"{what}.", "notes": NOTES, "origin": what}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Manifest(suite=suite, cells={}, cards=Cards(), environment={}, created=now)
    if any("experiment" not in cell.task_options or cell.budget for cell in manifest.cells.values()):
        raise ResultsError(f"{store.root}: holds the results of a run; name another folder with --results")
    return manifest


def _by_experiment(store: RecordStore, manifest: Manifest) -> dict[str, Record]:
    """What is there already and can be read."""
    found = {}
    for cell_id, cell in manifest.cells.items():
        record = store.standing(cell_id, cell, manifest.cards)
        if record is not None and record.published is not None:
            found[record.published.experiment] = record
    return found


def _experiments(folder: Path, names: list[str], found: Imported) -> Iterator[Experiment]:
    """The files that can be used; of the others a line each."""
    for name in names:
        try:
            yield read(name, files.read_within(folder, name, longest=LONGEST))
        except FileNotFoundError:
            found.faults.append(f"{escaped(name)}: is gone")
        except (files.Unreadable, UnusableFile) as error:
            found.faults.append(f"{escaped(name)}: {error}")


def _add(store: RecordStore, manifest: Manifest, experiment: Experiment, before: Record | None) -> None:
    """Writes the record and its file, and enters it in the manifest, in the place of the one before."""
    if before is not None:
        manifest.cells.pop(before.id, None)
    record = peft.record(experiment, _label(manifest, experiment))
    store.make_room(record.id)
    store.keep(record.id, "published.json", experiment.data)
    store.write(record)
    manifest.cells[record.id] = record.cell
    cards, cell = manifest.cards, record.cell
    cards.methods.setdefault(cell.method, _method(experiment.kind))
    cards.tasks.setdefault(cell.task, _task(experiment))
    title = cell.backbone.rpartition("/")[2]
    cards.backbones.setdefault(cell.backbone, BackboneCard(cell.backbone, title, "", "", ""))


def _label(manifest: Manifest, experiment: Experiment) -> str:
    """One that no other experiment has: the whole name where the short one is taken, with the file's digest where that
    is, too."""
    taken = {cell.label for cell in manifest.cells.values()}
    whole = experiment.experiment
    names = (experiment.label, whole, f"{whole}@{experiment.digest[:8]}")
    return next((name for name in names if name not in taken), names[-1])


def _method(kind: str | None) -> MethodCard:
    """The card of a type of peft, with the family that it has in this benchmark; of one that is not known without."""
    entries = PAPERS.bibtex([_LIBRARY])
    if kind is None:
        summary = "All parameters are trained."
        return MethodCard("full", "Full fine-tuning", "baseline", "none", "", summary, _LIBRARY, entries)
    for family, composition, formula, table in FAMILIES:
        if kind in table:
            title, clause = table[kind]
            summary = f"{title} as huggingface/peft implements it: {clause}."
            return MethodCard(f"peft:{kind}", title, family, composition, formula, summary, _LIBRARY, entries)
    return MethodCard(f"peft:{kind}", kind, "other", "", "", "A type that is not known here.", _LIBRARY, entries)


def _task(experiment: Experiment) -> TaskCard:
    card = experiment.benchmark.card
    return replace(card, bibtex=bibtex(card.citation))


def _clear(store: RecordStore, manifest: Manifest) -> None:
    """Removes the folders of records whose place others have taken, once the manifest no longer names them."""
    for folder in (store.root / "cells").iterdir():
        if folder.name not in manifest.cells and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
