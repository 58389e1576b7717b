"""`bench list`: the names of methods, tasks, backbones and suites, or of one of these with details."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

KINDS = ("methods", "tasks", "backbones", "suites")
COLUMNS = {
    "methods": ("method", "family", "composition", "paper", "hyperparameters and defaults"),
    "tasks": ("task", "kind", "metrics", "size", "offline", "licence", "source"),
    "backbones": ("backbone", "architecture", "parameters", "licence"),
    "suites": ("suite", "description"),
}


def add_command(commands: Any) -> None:
    """To the parser of the command line."""
    parser = commands.add_parser("list", help="names of methods, tasks, backbones, suites")
    parser.add_argument("kind", nargs="?", choices=KINDS, help="with details")
    parser.set_defaults(command=_list)


def _list(arguments: argparse.Namespace) -> int:
    if arguments.kind is None:
        for kind in KINDS:
            print(f"{kind}: {', '.join(_names(kind))}")
        return 0
    table = Table(*COLUMNS[arguments.kind], box=None, padding=(0, 2, 0, 0))
    for row in _rows(arguments.kind):
        table.add_row(*(escape(cell) for cell in row))
    # In a file or a pipe, lines must not break at the width of a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 0


def _names(kind: str) -> list[str]:
    """All names of a kind, and what those look like that are made to order. Imports nothing that they name."""
    if kind == "suites":
        from bench.suite import built_in

        return built_in()
    if kind == "backbones":
        from bench import backbones

        return backbones.names()
    from bench.registry import Registry

    registry = Registry()
    if kind == "methods":
        return [*registry.names("methods"), *(f"{name}:<type>" for name in registry.libraries("methods"))]
    return [*registry.names("tasks"), *registry.made_to_order()]


def _rows(kind: str) -> list[list[str]]:
    if kind == "suites":
        from bench import yaml_lines
        from bench.suite import BUILT_IN

        found = {name: yaml_lines.load(BUILT_IN / f"{name}.yaml")[0] for name in _names("suites")}
        return [[name, data.get("description", "")] for name, data in found.items()]
    if kind == "backbones":
        from bench.backbones import EMBEDDED

        cards = [embedded.card for embedded in EMBEDDED.values()]
        return [[card.name, card.architecture, f"{card.parameters:,}", card.licence] for card in cards]
    from bench import catalogue

    return catalogue.rows("methods" if kind == "methods" else "tasks")
