"""`bench preview`: a suite's examples as its models will read them, before hours are spent."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.folders import UsageError
from records.record import left_out
from records.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

    from bench.previewing.looking import Example, Preview
    from bench.suite import Suite

# Characters of a raw text that are shown beside its tokens.
LONGEST_TEXT = 160


def add_command(commands: Any, positive: Callable[[str], int]) -> None:
    """To the parser of the command line."""
    told = "a suite's examples as its models will read them: tokens, cuts, labels, splits; loads no weights"
    preview = commands.add_parser("preview", help=told)
    preview.add_argument("suite", nargs="?", default="embedded", help="a built-in suite, or the path of a YAML file")
    preview.add_argument("--task", action="append", default=[], metavar="NAME", help="this one alone; may be repeated")
    preview.add_argument("--examples", type=positive, default=3, metavar="N", help="of each task (default: 3)")
    preview.set_defaults(command=_preview)


def _preview(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from bench.previewing.looking import previews
    from bench.worker import quieten

    quieten()
    suite = _suite(arguments.suite)
    if strange := [name for name in arguments.task if name not in suite.axes.tasks]:
        raise UsageError(f"--task: {suite.name} has no task {strange[0]!r}; it has {', '.join(suite.axes.tasks)}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    failed = bool(lost := left_out(suite.left_out))
    for line in lost:
        _line(console, f"left out: {line}", "red")
    for found in previews(suite, arguments.task, arguments.examples):
        show(console, found)
        failed |= found.fails
    return 1 if failed else 0


def _suite(named: str) -> Suite:
    from bench.suite import Suite, SuiteError

    here = Path.cwd()
    try:
        suite = Suite.load(named)
    except SuiteError as error:
        raise UsageError(str(error)) from None
    os.chdir(here)  # wherever a plugin has gone
    return suite


def show(console: Console, found: Preview) -> None:
    """Prints one. Texts are a stranger's: whatever they hold is printed as characters, and commands no terminal."""
    _line(console, f"{found.task} on {found.backbone}", "bold")
    if found.reason is not None:
        _line(console, f"  {found.reason}\n", "red" if found.fails else "yellow")
        return
    _line(console, f"  {found.said}")
    console.print(_table(found))
    for note in found.notes:
        _line(console, f"  note: {note}")
    for warning in found.warnings:
        _line(console, f"  warning: {warning}", "yellow")
    for number, example in enumerate(found.examples, 1):
        _example(console, number, example, found.special)
    console.print()


def _table(found: Preview) -> Table:
    from rich.table import Table
    from rich.text import Text

    columns = ("  split", "there", "used", "cut", "unknown", "tokens: 5 %", "half", "95 %", "longest", "labels")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, split in found.splits.items():
        cells = [
            f"  {name}",
            f"{split.there:,}",
            f"{split.used:,}",
            _share(split.cut),
            _share(split.unknown),
            *(f"{length:,}" for length in split.lengths),
            ", ".join(f"{label} {count:,}" for label, count in split.labels.items()),
        ]
        table.add_row(*(Text(escaped(cell)) for cell in cells))
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _example(console: Console, number: int, example: Example, special: frozenset[str]) -> None:
    from rich.text import Text

    text = example.text if len(example.text) <= LONGEST_TEXT else f"{example.text[:LONGEST_TEXT]}…"
    _line(console, f"  example {number}: {text}", "dim")
    for part, tokens in zip(example.parts, example.tokens, strict=True):
        line = Text(f"    {part.role} ({len(tokens)}):")
        for token in tokens:
            line.append(" ").append(escaped(token), "cyan" if token in special else "")
        console.print(line, highlight=False, soft_wrap=True)
    cut = f" ({example.left_out:,} tokens are cut)" if example.left_out else ""
    _line(console, f"    label: {example.label}{cut}")


def _line(console: Console, text: str, style: str = "") -> None:
    ending = "\n" if text.endswith("\n") else ""
    console.print(escaped(text.rstrip("\n")) + ending, style=style, markup=False, highlight=False, soft_wrap=True)
