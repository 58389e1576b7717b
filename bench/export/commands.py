"""The command that exports what a cell has learnt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.folders import UsageError, cell_of, expanded
from records.text import printable


def add_commands(commands: Any) -> None:
    """To the parser of the command line."""
    export = commands.add_parser("export", help="what a cell has learnt, as a folder that others load")
    export.add_argument("cell", help="its id, or the beginning of it")
    target = "for peft's PeftModel; as a plain model of transformers; or for bench.load"
    export.add_argument("--to", required=True, choices=("peft", "merged", "native"), help=target)
    export.add_argument("folder", type=Path, help="where to write; there must be nothing yet")
    export.add_argument("--results", type=Path, help="where to look (default: every folder under results/)")
    export.add_argument("--bf16", action="store_true", help="merged weights in bfloat16; what is lost is measured")
    export.add_argument("--push-to-hub", metavar="REPO", help="also upload it, to organisation/name")
    export.add_argument("--private", action="store_true", help="a repository that is made for it is private")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    from bench.export import hub
    from bench.export.base import ExportError
    from bench.export.cells import export

    store, record = cell_of(arguments.cell, arguments.results)
    folder = expanded(arguments.folder)
    try:
        checked = export(store, record, arguments.to, folder, arguments.bf16)
        print(printable(f"{folder}: {record.cell}. {checked}"))
        if arguments.push_to_hub:
            print(printable(f"uploaded: {hub.push(folder, arguments.push_to_hub, arguments.private)}"))
    except (ExportError, hub.UploadError) as error:
        raise UsageError(f"{record.id}: {error}") from None
    return 0
