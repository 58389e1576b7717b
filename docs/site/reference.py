"""Reference: the command line from its parser, files from their types, the Python interface from its docstrings."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench import cli
from bench.suite_file import SuiteFile
from docs.site.pages import Field, fields, render
from records.record import Manifest, Record

# The modules of which docs/stability.md says that others may build on them.
STABLE = ("bench", "methods.base", "methods.anatomy", "tasks.base")
# What a line of code has room for.
LINE = 80


class Command(NamedTuple):
    """A command with its usage, and each of its arguments: how it is written, and what it does."""

    name: str
    summary: str
    usage: str
    arguments: tuple[tuple[str, str], ...]


class Name(NamedTuple):
    """A public name: a function, or a class with what is public of it."""

    name: str
    signature: str
    doc: str
    members: tuple[Name, ...] = ()


class Part(NamedTuple):
    """A type that a file holds."""

    name: str
    doc: str
    fields: list[Field]


def pages() -> dict[str, str]:
    """By their places in the site."""
    found = {part.name: part for model in (Record, Manifest) for part in parts(model)}
    return {
        "reference/commands.md": render("commands.md.jinja", commands=list(commands())),
        "reference/suites.md": render("suites.md.jinja", parts=parts(SuiteFile)),
        "reference/records.md": render("records.md.jinja", parts=list(found.values())),
        "reference/python.md": render("python.md.jinja", modules=[(name, *module(name)) for name in STABLE]),
    }


def commands(parser: argparse.ArgumentParser | None = None, prefix: str = "bench") -> Iterator[Command]:
    """Every command of the command line; of those with commands of their own, these."""
    for action in (parser or cli._parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                inner = list(commands(below, f"{prefix} {name}"))
                yield from inner or [_command(f"{prefix} {name}", summaries.get(name, ""), below)]


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    """The usage has the width that a page has room for, whatever the terminal is."""
    formatter = argparse.HelpFormatter(parser.prog, width=90)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    usage = formatter.format_help().removeprefix("usage: ").strip()
    arguments = [action for action in parser._actions if action.dest != "help"]
    return Command(name, summary, usage, tuple((_written(each), _help(each)) for each in arguments))


def _written(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + (f" {value}" if action.nargs != 0 else "")


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action) if "%(" in (action.help or "") else (action.help or "").replace("%%", "%")


def parts(model: Any) -> list[Part]:
    """A type of a file, and all types of which it is made."""
    schema = model.model_json_schema()
    own = Part(model.__name__, inspect.getdoc(model) or "", fields(schema, ""))
    return [own, *(_part(schema, name) for name, of in schema.get("$defs", {}).items() if "properties" in of)]


def _part(schema: dict[str, Any], name: str) -> Part:
    return Part(name, schema["$defs"][name].get("description", ""), fields(schema, name))


def module(name: str) -> tuple[str, list[Name]]:
    """The docstring of a module, and its public names that are defined in a package of ours."""
    found = importlib.import_module(name)
    listed = getattr(found, "__all__", None) or [
        key for key, value in vars(found).items() if key[:1] != "_" and getattr(value, "__module__", "") == name
    ]
    values = {key: getattr(found, key) for key in listed}
    documented = {key: value for key, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)}
    return inspect.getdoc(found) or "", [_name(key, value) for key, value in documented.items()]


def _name(key: str, value: Any) -> Name:
    members: tuple[Name, ...] = ()
    if inspect.isclass(value):
        public = {name: each for name, each in vars(value).items() if name[:1] != "_" and _is_code(each)}
        members = tuple(Name(name, _signature(getattr(value, name)), _doc(value, name)) for name in public)
    return Name(key, _signature(value), inspect.getdoc(value) or "", members)


def _is_code(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


def _doc(cls: type, name: str) -> str:
    return inspect.getdoc(getattr(cls, name)) or ""


def _signature(value: Any) -> str:
    """Empty of what is not called; a parameter a line where it is long."""
    if isinstance(value, property) or not callable(value):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    said = _plain(str(signature))
    if len(said) <= LINE:
        return said
    given = [_plain(str(each)) for each in signature.parameters.values()]
    if (first := _first_by_name(signature)) is not None:
        given.insert(first, "*")
    return "(\n    " + ",\n    ".join(given) + ",\n)" + said.rpartition(")")[2]


def _first_by_name(signature: inspect.Signature) -> int | None:
    kinds = [each.kind for each in signature.parameters.values()]
    named, several = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL
    return kinds.index(named) if named in kinds and several not in kinds else None


def _plain(text: str) -> str:
    """Annotations as they are written, without what only the interpreter can name."""
    return re.sub(r"((?:: |-> ))'([^']*)'", r"\1\2", re.sub(r"<[^>]*>", "…", text))
