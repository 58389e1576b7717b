"""`bench list`: names of methods, tasks, backbones and suites, and what each is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

Details = tuple[Sequence[str], list[list[str]]]  # columns and rows


def names(kind: str) -> list[str]:
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


def details(kind: str) -> Table:
    """A table of all of a kind. Imports them."""
    columns, rows = {"methods": _methods, "tasks": _tasks, "backbones": _backbones, "suites": _suites}[kind]()
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _suites() -> Details:
    from bench import yaml_lines
    from bench.suite import BUILT_IN

    found = {name: yaml_lines.load(BUILT_IN / f"{name}.yaml")[0] for name in names("suites")}
    return ("suite", "description"), [[name, data.get("description", "")] for name, data in found.items()]


def _backbones() -> Details:
    from bench.backbones import EMBEDDED

    cards = [embedded.card for embedded in EMBEDDED.values()]
    columns = ("backbone", "architecture", "parameters", "licence")
    return columns, [[card.name, card.architecture, f"{card.parameters:,}", card.licence] for card in cards]


def _methods() -> Details:
    """This imports them, and with them torch."""
    from bench.registry import PluginError, Registry

    registry, rows = Registry(), []
    inside = [name for library in registry.libraries("methods") for name in registry.names_in(library)]
    for name in registry.names("methods") + inside:
        try:
            cls = registry.get("methods", name).cls
        except PluginError as error:
            rows.append([name, str(error)])
            continue
        fields = ", ".join(f"{key}={field.get_default()!r}" for key, field in cls.model_fields.items())
        rows.append([name, cls.card.family, cls.card.composition, cls.card.citation, fields])
    return ("method", "family", "composition", "paper", "hyperparameters and defaults"), rows


def _tasks() -> Details:
    """This imports them."""
    from bench.registry import PluginError, Registry

    registry, rows = Registry(), []
    for name in registry.names("tasks"):
        try:
            card = registry.get("tasks", name).cls.card
        except PluginError as error:
            rows.append([name, str(error)])
            continue
        offline = "yes" if card.offline else "no"
        rows.append([name, card.kind, ", ".join(card.metrics), card.size, offline, card.licence, card.citation])
    return ("task", "kind", "metrics", "size", "offline", "licence", "source"), rows
