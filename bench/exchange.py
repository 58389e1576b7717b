"""The commands that bring results together: what others published, and folders of several machines."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from bench.comparable import ASPECTS
from bench.folders import RESULTS, path_of, store_of, usable_folder
from records.text import escaped


def add_commands(commands: Any) -> None:
    """To the parser of the command line."""
    import_ = commands.add_parser("import", help="read results that others published into a results folder")
    import_.add_argument("format", choices=("peft",), help="peft: huggingface/peft's method_comparison")
    import_.add_argument("folder", type=path_of, help="where the result files (*.json) are")
    import_.add_argument("--results", type=path_of, help="folder to read them into (default: results/peft-<FOLDER>)")
    import_.set_defaults(command=_import)

    merge = commands.add_parser("merge", help="join results folders of several machines, or of parts of a suite")
    merge.add_argument("folders", nargs="+", metavar="FOLDER", help="results folders, or suites' names")
    merge.add_argument("--results", type=path_of, required=True, help="folder to join them in")
    aspects = f"what may differ between them: {', '.join(ASPECTS)}"
    merge.add_argument("--allow", type=_aspects, default=(), metavar="ASPECT,…", help=aspects)
    merge.add_argument("--prefer-first", action="store_true", help="where a cell has two results, keep the first's")
    merge.set_defaults(command=_merge)


def _aspects(text: str) -> tuple[str, ...]:
    given = tuple(filter(None, text.split(",")))
    if unknown := [each for each in given if each not in ASPECTS]:
        raise argparse.ArgumentTypeError(f"takes some of {', '.join(ASPECTS)}, not {unknown[0]!r}")
    return given


def _import(arguments: argparse.Namespace) -> int:
    from bench.importing import import_peft

    folder = usable_folder(arguments.folder)
    root = usable_folder(arguments.results or RESULTS / f"peft-{folder.resolve().name}", write=True)
    found = import_peft(folder, root)
    for line in found.lines:
        print(line)
    print(f"next: bench report {shlex.quote(escaped(str(root)))}")
    return 1 if found.faults else 0


def _merge(arguments: argparse.Namespace) -> int:
    from bench.merging import merge

    root = usable_folder(arguments.results, write=True)
    parts = [store_of(folder).root for folder in arguments.folders]
    found = merge(parts, root, arguments.allow, arguments.prefer_first)
    for line in found.lines:
        print(line)
    print(f"merged {len(parts)} folders: {found.cells} cells, {found.shared} of them in several")
    print(f"next: bench report {shlex.quote(escaped(str(root)))}")
    return 0
