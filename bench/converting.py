"""A results folder in the formats of others: peft's result files, Every Eval Ever's, tidy tables with a data set's
card. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench import __version__
from bench.folders import UsageError
from records.files import MAKING, Occupied, new_folder, write_atomically
from records.formats import every_eval_ever, peft_export, tables
from records.formats.names import portable, told_apart
from records.public import Public
from records.text import one_line, printable

if TYPE_CHECKING:
    from records.record import Manifest, Record
    from records.store import RecordStore

TEMPLATES = Path(__file__).parents[1] / "templates"
HAS_RESULT = ("trained", "ok")


@dataclass(frozen=True)
class Options:
    """Who says that the results are so, for Every Eval Ever; the licence of the tables, as the hub names it, and the
    repository that they are for, in place of the folder's name."""

    organisation: str = "unknown"
    licence: str = "unknown"
    repo: str = ""


@dataclass(frozen=True)
class Converted:
    """What was written and what was left out, in lines; `whole` where every record could be read."""

    lines: tuple[str, ...]
    whole: bool


def convert(store: RecordStore, target: str, folder: Path, options: Options = Options()) -> Converted:
    """Writes the results as `target` (one of TARGETS) into a folder that must not be there or be empty.

    Raises UsageError where the folder is taken or nothing can be
    written, ResultsError where the results cannot be read, OSError where the disk refuses."""
    public = Public(store)
    try:
        with new_folder(folder) as fresh:
            said = TARGETS[target](store, public.manifest, public.records, fresh, options)
    except Occupied as error:
        raise UsageError(str(error)) from None
    unreadable = public.unreadable
    return Converted((*said, *([unreadable] if unreadable else [])), unreadable is None)


def _peft(store: RecordStore, manifest: Manifest, records: dict[str, Record], folder: Path, _: Options) -> list[str]:
    """One file a cell, under the name that peft gives it; of an imported cell the very file."""
    written, anew = 0, 0
    for record in records.values():
        if record.status not in (*HAS_RESULT, "failed"):
            continue
        original = store.kept(record, "published.json")
        if original is None:
            anew += record.published is not None
            original = (json.dumps(peft_export.content(record), indent=2, allow_nan=False) + "\n").encode()
        name = peft_export.experiment_name(record).replace("/", "--")
        write_atomically(folder / f"{portable(name)}.json", original)
        written += 1
    said = [f"wrote {written} result files as huggingface/peft has them"]
    if anew:
        said.append(f"{anew} of them anew from their records: the files that they were read from are gone")
    return _with_left_out(said, manifest, written)


def _every_eval_ever(
    store: RecordStore, manifest: Manifest, records: dict[str, Record], folder: Path, options: Options
) -> list[str]:
    cells = manifest.cells.values()
    models = told_apart(f"{cell.backbone}_{cell.label}" for cell in cells)
    collection = every_eval_ever.Collection(
        manifest=manifest,
        name=portable(f"adaptbench-{manifest.suite.get('name') or store.root.name}"),
        models={(cell.backbone, cell.label): models[f"{cell.backbone}_{cell.label}"] for cell in cells},
        organisation=options.organisation,
        retrieved=int(datetime.now(UTC).timestamp()),
    )
    texts = store.texts()
    written = with_examples = 0
    for record in records.values():
        if record.status not in HAS_RESULT:
            continue
        made = every_eval_ever.evaluation(record, store.predictions(record), texts, collection)
        if made is None:
            continue
        written += 1
        write_atomically(folder / made.aggregate_path, made.aggregate)
        if made.samples:
            with_examples += 1
            write_atomically(folder / made.samples_path, made.samples)
    said = [
        f"wrote {written} evaluations in the schema {every_eval_ever.SCHEMA} of Every Eval Ever,"
        f" {with_examples} of them with their examples"
    ]
    return _with_left_out(said, manifest, written)


def _parquet(
    store: RecordStore, manifest: Manifest, records: dict[str, Record], folder: Path, options: Options
) -> list[str]:
    cells = tables.write_cells(folder / tables.CELLS, manifest, records)
    answers = tables.write_predictions(folder / tables.PREDICTIONS, store, records.values())
    write_atomically(folder / "README.md", _card(store, manifest, folder, (cells, answers), options))
    return [f"wrote {cells} rows of cells and {answers} of predictions, and the card of a data set"]


TARGETS: dict[str, Callable[[RecordStore, Manifest, dict[str, Record], Path, Options], list[str]]] = {
    "peft": _peft,
    "every-eval-ever": _every_eval_ever,
    "parquet": _parquet,
}


def _with_left_out(said: list[str], manifest: Manifest, written: int) -> list[str]:
    """Raises UsageError where nothing was written."""
    if not written:
        raise UsageError(f"{len(manifest.cells)} cells, and none has a result to be written")
    left = len(manifest.cells) - written
    return [*said, f"left out {left} cells that have no result"] if left else said


def _card(store: RecordStore, manifest: Manifest, folder: Path, rows: tuple[int, int], options: Options) -> str:
    """README.md, whose YAML is what `datasets.load_dataset` finds the tables by."""
    import jinja2

    cells, answers = rows
    files = {"cells": tables.CELLS} | ({"predictions": tables.PREDICTIONS} if answers else {})
    configs: list[dict[str, Any]] = [
        {"config_name": name, "data_files": [{"split": "results", "path": file}]} for name, file in files.items()
    ]
    configs[0]["default"] = True
    about = {
        "license": options.licence,
        "pretty_name": f"Results of {manifest.suite.get('name') or store.root.name}",
        "tags": ["adaptbench", "parameter-efficient-fine-tuning", "benchmark"],
        "configs": configs,
    }
    cards = manifest.cards
    entries = [card.bibtex for kind in (cards.methods, cards.tasks, cards.backbones) for card in kind.values()]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["cell"] = _in_table
    text = environment.get_template("cards/dataset.md.jinja").render(
        metadata=yaml.safe_dump(about, sort_keys=False, allow_unicode=True),
        name=_in_table(manifest.suite.get("name") or store.root.name),
        description=one_line(manifest.suite.get("description", "")),
        notes=one_line(manifest.suite.get("notes", "")),
        version=__version__,
        repo=options.repo or folder.name.removeprefix(".").removesuffix(MAKING),
        cells=cells,
        answers=answers,
        tasks=list(cards.tasks.values()),
        backbones=list(cards.backbones.values()),
        licence=options.licence,
        bibtex="\n\n".join(dict.fromkeys(filter(None, entries))),
    )
    return printable(text)


def _in_table(value: object) -> str:
    """A text that a table of Markdown can hold."""
    return one_line(value).replace("|", "\\|")
