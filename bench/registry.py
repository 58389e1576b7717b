"""Finds methods and tasks: by entry point, or in a plugin file that a suite names.

Names are read without importing a plugin; a plugin is imported when it is asked for.
"""

from __future__ import annotations

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
    """The plugins that a suite may name: all that are installed, and those in its `files`.

    Raises PluginError on a file that cannot be read or imported or that holds no plugin, and where two
    plugins of one kind claim the same name.
    """

    files: tuple[Path, ...] = ()
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
        return [*_entry_points(kind), *self._from_files[kind]]

    def get(self, kind: Kind, name: str) -> Plugin:
        """Raises KeyError on an unknown name, PluginError where the plugin cannot be imported."""
        if name in self._from_files[kind]:
            return self._from_files[kind][name]
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
    name = f"bench_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
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
