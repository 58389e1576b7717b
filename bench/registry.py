"""Finds methods and tasks: by entry point, in a plugin file that a suite names, or in a library of methods.

A library offers many methods, as `library:method`, from one module with `names()`, `get(name)` and `REVISION`. Names
are read without importing a plugin; a plugin is imported when it is asked for. So is a library, even for its names.
Some tasks are made to order: `files:reviews.csv` of a file, `mixture:sst2+rte` of other tasks, each kind of them by
a module with `get(description, registry)`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

Kind = Literal["methods", "tasks"]

# How the modules of plugin files are called.
FILE_PREFIX = "bench_plugin_"


class PluginError(Exception):
    """A plugin is missing or broken; the message is one line."""


@dataclass(frozen=True)
class Plugin:
    """A method's or a task's class, and the revision that goes into a cell's identity: the class's own
    number as text, to which a plugin file adds a digest of itself, since its author is likely at work on it."""

    name: str
    cls: Any
    revision: str
    from_file: bool = False


@dataclass
class Registry:
    """The plugins that a suite may name: all that are installed, and those in its `files`. What is made of a file of
    the user's finds it from `base`, the suite's folder.

    Raises PluginError on a file that cannot be read or imported or that holds no plugin, and where two
    plugins of one kind claim the same name.
    """

    files: tuple[Path, ...] = ()
    base: Path = Path()
    _from_files: dict[Kind, dict[str, Plugin]] = field(default_factory=lambda: {"methods": {}, "tasks": {}})

    def __post_init__(self) -> None:
        for path in self.files:
            found = False
            for kind, plugin in _plugins_of(path):
                found = True
                if plugin.name in _entry_points(kind) or plugin.name in self._from_files[kind]:
                    raise PluginError(f"{path}: another one of the {kind} is already called {plugin.name!r}")
                self._from_files[kind][plugin.name] = plugin
            if not found:
                raise PluginError(f"{path}: holds no subclass of Method or Task with a card")

    def names(self, kind: Kind) -> list[str]:
        """Those of libraries left out."""
        return [*_entry_points(kind), *self._from_files[kind]]

    def made_to_order(self) -> list[str]:
        return [f"{name}:{point.load().EXAMPLE}" for name, point in _makers().items()]

    def libraries(self, kind: Kind) -> list[str]:
        """The libraries that are installed. This imports none of them."""
        return [name for name in _libraries() if importlib.util.find_spec(name)] if kind == "methods" else []

    def names_in(self, library: str) -> list[str]:
        """All that a library offers. This imports it."""
        return [f"{library}:{name}" for name in _bridge(library).names()]

    def get(self, kind: Kind, name: str) -> Plugin:
        """Raises KeyError on an unknown name, PluginError where it cannot be imported, or a library lacks it."""
        if name in self._from_files[kind]:
            return self._from_files[kind][name]
        library, _, own_name = name.partition(":")
        if own_name and kind == "methods" and library in _libraries():
            return self._from_library(library, own_name)
        if own_name and kind == "tasks" and library in _makers():
            return self._made_to_order(library, own_name)
        point = _entry_points(kind)[name]
        try:
            cls = point.load()
        except Exception as error:
            raise PluginError(
                f"the {kind.removesuffix('s')} {name!r} ({point.value}) cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        if cls.card.name != name:
            raise PluginError(
                f"entry point {name!r} ({point.value}): its card is called {cls.card.name!r}; use one name for both"
            )
        return Plugin(name, cls, str(cls.revision))

    def _made_to_order(self, maker: str, description: str) -> Plugin:
        try:
            cls = _makers()[maker].load().get(description, self)
        except ValueError as error:
            raise PluginError(str(error)) from error
        return Plugin(f"{maker}:{description}", cls, str(cls.revision))

    def _from_library(self, library: str, name: str) -> Plugin:
        bridge = _bridge(library)
        try:
            cls = bridge.get(name)
        except KeyError:
            known = bridge.names()
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean '{library}:{close[0]}'? " if close else ""
            raise PluginError(f"{library} has no method {name!r}; {hint}known: {', '.join(known)}") from None
        return Plugin(cls.card.name, cls, f"{cls.revision}+{bridge.REVISION}")


@cache
def _makers() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group="bench.task_makers")}


@cache
def _libraries() -> dict[str, metadata.EntryPoint]:
    """By the name of the package that has to be installed."""
    return {point.name: point for point in metadata.entry_points(group="bench.method_libraries")}


def _bridge(library: str) -> ModuleType:
    if importlib.util.find_spec(library) is None:
        raise PluginError(f"the methods of {library} need that library: pip install {library}")
    point = _libraries()[library]
    try:
        return point.load()
    except Exception as error:
        raise PluginError(
            f"the library {library!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error


@cache
def _entry_points(kind: Kind) -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=f"bench.{kind}")}


def _plugins_of(path: Path) -> Iterable[tuple[Kind, Plugin]]:
    from methods.base import Method
    from tasks.base import Task

    module = _import_file(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    bases: dict[Kind, type] = {"methods": Method, "tasks": Task}
    classes: list[Any] = [value for value in vars(module).values() if inspect.isclass(value)]
    for cls in classes:
        if cls.__module__ != module.__name__ or inspect.isabstract(cls):
            continue
        for kind, base in bases.items():
            if issubclass(cls, base) and hasattr(cls, "card"):
                yield kind, Plugin(cls.card.name, cls, f"{cls.revision}+{digest}", from_file=True)


def _import_file(path: Path) -> ModuleType:
    name = f"{FILE_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PluginError(f"{path}: no such plugin file; `plugins` takes paths of Python files, seen from the suite")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
