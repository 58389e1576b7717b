"""Finds methods and tasks: by entry point, in a plugin file that a suite names, or in a library of methods.

A library offers many methods, as `library:method`, from one module with `names()`, `get(name)` and `REVISION`. Names
are read without importing a plugin; a plugin is imported when it is asked for. So is a library, even for its names.
Some tasks are made to order: `files:reviews.csv` of a file, `mixture:sst2+rte` of other tasks, each kind of them by
a module with `get(description, registry)`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

from bench import plugin_files
from bench.plugin_files import BrokenPlugin, PluginError, importing
from records.cards import MethodCard, TaskCard
from records.text import described, one_line
from records.vocabulary import closest

__all__ = ["BrokenPlugin", "Kind", "Plugin", "PluginError", "Registry"]

Kind = Literal["methods", "tasks"]

# The distribution that this is, whose plugins are told apart by their revisions alone.
OWN = "adaptbench"


@dataclass(frozen=True)
class Plugin:
    """A method's or a task's class, and the revision that goes into a cell's identity: the class's own number as text,
    to which everybody else's plugin adds a digest of its code, since its author may be at work on it. `files` are the
    plugin files that it comes from."""

    name: str
    cls: Any
    revision: str
    files: tuple[Path, ...] = ()


@dataclass
class Registry:
    """The plugins that a suite may name: all that are installed, and those in its `files`. What is made of a file of
    the user's finds it from `base`, the suite's folder. `broken` has files that were offered and cannot be used, with
    the reason.

    Raises PluginError on a file that cannot be read, and where two plugins of one kind claim the same name;
    BrokenPlugin on one that cannot be imported or that holds no plugin.
    """

    files: tuple[Path, ...] = ()
    base: Path = Path()
    broken: dict[Path, str] = field(default_factory=dict)
    _from_files: dict[Kind, dict[str, Plugin]] = field(default_factory=lambda: {"methods": {}, "tasks": {}})
    _incomplete: dict[Kind, dict[str, str]] = field(default_factory=lambda: {"methods": {}, "tasks": {}})
    _helpers: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files, self.files = self.files, ()
        for path in files:
            self.add(path)

    def add(self, path: Path) -> list[Plugin]:
        """Imports one more plugin file, and returns what is in it."""
        classes = _classes_of(path, self._helpers)
        found = [(kind, made) for kind, made in classes if isinstance(made, Plugin)]
        if not found:
            raise BrokenPlugin(f"{path}: holds no subclass of Method or Task with a card and all its methods")
        for kind, plugin in found:
            if plugin.name in _entry_points(kind) or plugin.name in self._from_files[kind]:
                raise PluginError(f"{path}: another one of the {kind} is already called {plugin.name!r}")
            self._from_files[kind][plugin.name] = plugin
        for kind, fault in classes:
            if isinstance(fault, _Incomplete):
                self._incomplete[kind][fault.name] = f"{path}: {fault.name!r} {fault.fault}"
        self.files = (*self.files, path)
        return [plugin for _, plugin in found]

    def offer(self, path: Path) -> None:
        """As `add`; a file that is broken is noted, and what it would have held is a BrokenPlugin to `get`."""
        try:
            self.add(path)
        except BrokenPlugin as error:
            self.broken[path] = one_line(error)

    def names(self, kind: Kind) -> list[str]:
        """Those of libraries left out."""
        return [*_entry_points(kind), *self._from_files[kind]]

    def made_to_order(self) -> list[str]:
        """What their names look like. This imports none of them."""
        return [f"{name}:{_constant(point, 'EXAMPLE')}" for name, point in _makers().items()]

    def libraries(self, kind: Kind) -> list[str]:
        """The libraries that are installed. This imports none of them."""
        return [name for name in _libraries() if importlib.util.find_spec(name)] if kind == "methods" else []

    def names_in(self, library: str) -> list[str]:
        """All that a library offers. This imports it."""
        return [f"{library}:{name}" for name in _bridge(library).names()]

    def get(self, kind: Kind, name: str) -> Plugin:
        """Raises KeyError on an unknown name, BrokenPlugin where it cannot be imported or its class is none of a
        plugin, PluginError where a library lacks it, or is lacking."""
        if name in self._from_files[kind]:
            return self._from_files[kind][name]
        library, _, own_name = name.partition(":")
        if own_name and kind == "methods" and library in _libraries():
            return self._from_library(library, own_name)
        if own_name and kind == "tasks" and library in _makers():
            return self._made_to_order(library, own_name)
        point = _entry_points(kind).get(name)
        if point is None:
            if reason := self._incomplete[kind].get(name) or self._of_a_broken_file(name):
                raise BrokenPlugin(reason)
            raise KeyError(name)
        with importing(f"the {kind.removesuffix('s')} {name!r} ({point.value})"):
            cls = point.load()
        if fault := _fault_of(kind, cls):
            raise BrokenPlugin(f"entry point {name!r} ({point.value}): {fault}")
        if cls.card.name != name:
            raise BrokenPlugin(
                f"entry point {name!r} ({point.value}): its card is called {cls.card.name!r}; use one name for both"
            )
        return Plugin(name, cls, _revision(cls, point))

    def _of_a_broken_file(self, name: str) -> str | None:
        """Why a name is not known: it stands in quotes in a file that is broken."""
        for path, reason in self.broken.items():
            text = path.read_text(encoding="utf-8", errors="replace")
            if f'"{name}"' in text or f"'{name}'" in text:
                return reason
        return None

    def digest(self, kind: Kind, name: str) -> str:
        """Of the code of an installed plugin or library, without importing it; nothing for ours. Raises PluginError."""
        return _digest(_entry_points(kind).get(name) or _libraries()[name])

    def _made_to_order(self, maker: str, description: str) -> Plugin:
        asked: list[Plugin] = []

        def get(kind: Kind, name: str) -> Plugin:
            asked.append(self.get(kind, name))
            return asked[-1]

        try:
            cls = _makers()[maker].load().get(description, SimpleNamespace(base=self.base, get=get))
        except ValueError as error:
            raise PluginError(str(error)) from error
        files = tuple(dict.fromkeys(file for plugin in asked for file in plugin.files))
        return Plugin(f"{maker}:{description}", cls, _revision(cls, _makers()[maker]), files)

    def _from_library(self, library: str, name: str) -> Plugin:
        bridge = _bridge(library)
        try:
            cls = bridge.get(name)
        except KeyError:
            known = bridge.names()
            close = closest(name, known)
            hint = f"did you mean '{library}:{close}'? " if close else ""
            raise PluginError(f"{library} has no method {name!r}; {hint}known: {', '.join(known)}") from None
        return Plugin(cls.card.name, cls, f"{_revision(cls, _libraries()[library])}+{bridge.REVISION}")


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
    with importing(f"the library {library!r} ({point.value})"):
        bridge: ModuleType = point.load()
    return bridge


@cache
def _entry_points(kind: Kind) -> dict[str, metadata.EntryPoint]:
    """Ours come first, and no other takes the name of one of them."""
    found: dict[str, metadata.EntryPoint] = {}
    for point in sorted(metadata.entry_points(group=f"bench.{kind}"), key=lambda point: not _is_own(point)):
        found.setdefault(point.name, point)
    return found


def _is_own(point: metadata.EntryPoint) -> bool:
    return point.dist is not None and _name_of(point.dist) == OWN


@cache
def _name_of(distribution: metadata.Distribution) -> str:
    """What has many entry points reads its name anew for each."""
    return distribution.name


def _revision(cls: Any, point: metadata.EntryPoint) -> str:
    digest = _digest(point)
    return f"{cls.revision}+{_inherited(cls)}{digest}" if digest else str(cls.revision)


def _digest(point: metadata.EntryPoint) -> str:
    if _is_own(point):
        return ""
    try:
        return plugin_files.digest_of(point.module)
    except Exception as error:  # of a stranger's package, whose entry point may be no name of a module
        raise BrokenPlugin(f"{point.value}: its code cannot be read: {described(error)}") from None


def _inherited(cls: Any) -> str:
    """The revisions of the classes it is derived from, which may be ours; as a digest."""
    revisions = [str(base.__dict__["revision"]) for base in cls.__mro__[1:] if "revision" in base.__dict__]
    return hashlib.sha256("+".join(revisions).encode()).hexdigest()[:4]


def _constant(point: metadata.EntryPoint, name: str) -> str:
    """What a module calls by this name, read from its source."""
    with contextlib.suppress(Exception):  # of a stranger's package
        spec = importlib.util.find_spec(point.module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                return str(ast.literal_eval(node.value))
    return "<name>"


def _fault_of(kind: Kind, cls: Any) -> str | None:
    """Why a class is none of a plugin."""
    base, card = _bases()[kind]
    if not inspect.isclass(cls) or not issubclass(cls, base):
        return f"is no subclass of {base.__module__}.{base.__name__}"
    if not isinstance(getattr(cls, "card", None), card):
        return "has no card"
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"lacks {', '.join(missing)}"
    return None


def _bases() -> dict[Kind, tuple[type, type]]:
    from methods.base import MethodBase
    from tasks.base import Task

    return {"methods": (MethodBase, MethodCard), "tasks": (Task, TaskCard)}


@dataclass(frozen=True)
class _Incomplete:
    """A class that has a card, and not all that makes it a plugin."""

    name: str
    fault: str


def _classes_of(path: Path, helpers: dict[str, Path]) -> list[tuple[Kind, Plugin | _Incomplete]]:
    imported = plugin_files.import_file(path, helpers)
    classes: list[Any] = [value for value in vars(imported.module).values() if inspect.isclass(value)]
    found: list[tuple[Kind, Plugin | _Incomplete]] = []
    for cls in classes:
        if cls.__module__ != imported.module.__name__:
            continue
        for kind, (base, card) in _bases().items():
            if (fault := _fault_of(kind, cls)) is None:
                revision = f"{cls.revision}+{_inherited(cls)}{imported.digest}"
                found.append((kind, Plugin(cls.card.name, cls, revision, (path,))))
            elif issubclass(cls, base) and isinstance(getattr(cls, "card", None), card):
                found.append((kind, _Incomplete(cls.card.name, fault)))
    return found
