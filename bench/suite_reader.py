"""Reads and checks a suite file, down to what each of its entries is; every fault is told, with its line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench import plugin_files, yaml_lines
from bench.axes import Axes, LeftOut, MethodEntry, TaskEntry
from bench.backbones import RANDOM, Asked, Backbone, BackboneError
from bench.backbones import names as embedded_names
from bench.contained import contained
from bench.registry import BrokenPlugin, Kind, Plugin, PluginError, Registry
from bench.suite_file import SuiteFile, explained, odd_values
from bench.yaml_lines import Place
from records.cell import Budget, FormName
from records.redaction import redacted
from records.text import described, escaped, one_line
from records.vocabulary import Kind as TaskKind
from records.vocabulary import nearest
from tasks.base import Task, TaskUnavailable

if TYPE_CHECKING:
    from methods.anatomy import Anatomy

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

MOST_CELLS = 100_000
# Of these kinds there is no form but text.
TEXT_ONLY: tuple[TaskKind, ...] = ("generation", "language modelling")
FORMS: tuple[FormName, ...] = get_args(FormName)


class SuiteError(Exception):
    """A suite is wrong; the message has one line per fault, each with file, line and what to write."""


def read(path: Path) -> Axes:
    """Raises SuiteError; loads no model and no data."""
    reader, data = _opened(path)
    return reader.read(data)


def read_mapping(given: Mapping[str, Any], path: Path) -> Axes:
    """As `read`, of a mapping with the keys of such a file, as if it were that of the path."""
    try:
        data = json.loads(json.dumps(dict(given), default=os.fspath))
    except (TypeError, ValueError) as error:
        raise SuiteError(f"{path.stem}: takes what a suite file can say: {one_line(error)}") from None
    return _Reader(path, None).read(data)


def read_file(path: Path) -> tuple[SuiteFile, dict[str, Budget]]:
    """What the file says, and each task's budget. No plugin is imported, so that names of plugin files, options and
    hyperparameters stay unchecked. Raises SuiteError."""
    reader, data = _opened(path)
    file = reader.file(data)
    names: tuple[tuple[Kind, Iterable[str]], ...] = (("tasks", file.tasks), ("methods", file.methods))
    for kind, named in names if not file.plugins else ():
        for name in named:
            reader.known(kind, name.partition("@")[0] if kind == "methods" else name, (kind, name))
    for index, spec in enumerate(file.backbones):
        if spec.startswith("embedded:") and spec not in embedded_names():
            hint = f"{nearest(spec, embedded_names()) or ';'} embedded: {', '.join(embedded_names())}"
            reader.fault(("backbones", index), f"unknown backbone {spec!r}{hint}")
    budgets = {}
    for name, values in file.tasks.items():
        own = {key: value for key, value in values.items() if key in Budget.model_fields}
        budgets[name] = reader.budget(file, name, own)
    reader.stop_at_faults()
    return file, _found(budgets)


def _opened(path: Path) -> tuple[_Reader, Any]:
    try:
        data, lines = yaml_lines.load(path)
    except yaml_lines.YamlError as error:
        raise SuiteError(str(error)) from None
    return _Reader(path, lines), data


class _Reader:
    """Turns one YAML document into axes, collecting the faults of a step before it gives up. A method that reads an
    entry returns None where it has noted a fault."""

    def __init__(self, path: Path, lines: dict[Place, int] | None) -> None:
        """What is no file has no `lines`."""
        self.path = path
        self.numbered = lines is not None
        self.lines = lines or {}
        self.faults: list[str] = []
        self.left_out: LeftOut = {}
        self.registry = Registry((), path.parent)

    def fault(self, place: Place, message: str) -> None:
        where = ".".join(map(str, place))
        of = f"{self.path}:{yaml_lines.line_of(self.lines, place)}" if self.numbered else self.path.stem
        self.faults.append(escaped(f"{of}: {where + ': ' if where else ''}{message}"))

    def attempt(self, place: Place, read: Callable[[], T]) -> T | None:
        """What it reads, or None with the fault noted: whatever goes wrong while a suite is read is one line. A method
        or a task that is the suite's mistake is a fault; one whose code is broken is left out."""
        try:
            with contained(plugin_files.LONGEST_IMPORT if place[:1] in (("methods",), ("tasks",)) else None):
                return read()
        except BrokenPlugin as error:
            self.leave_out(place, one_line(error))
        except (BackboneError, PluginError, TaskUnavailable, ValueError) as error:
            self.fault(place, one_line(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an exit and a hang too
            self.leave_out(place, f"cannot be used: {described(error)}")
        return None

    def leave_out(self, place: Place, reason: str) -> None:
        """All cells of the method or task in this place; what else is broken concerns every cell."""
        match place:
            case ("methods" | "tasks" as kind, str(name)):
                self.left_out.setdefault(kind, {}).setdefault(name, redacted(reason))
            case _:
                self.fault(place, reason)

    def stop_at_faults(self) -> None:
        if self.faults:
            raise SuiteError("\n".join(dict.fromkeys(self.faults)))

    def read(self, data: Any) -> Axes:
        file = self.file(data)
        self.add_plugins(file.plugins)
        backbones = _found({spec: self.backbone(index, spec) for index, spec in enumerate(file.backbones)})
        self.check_paths(file.backbones, backbones)
        tasks = _found({name: self.attempt(("tasks", name), partial(self.task, file, name)) for name in file.tasks})
        forgetting = self.forgetting(file.forgetting)
        methods = _found(
            {each: self.attempt(("methods", each), partial(self.method, file, each)) for each in file.methods}
        )
        self.stop_at_faults()
        axes = Axes(file, backbones, tasks, methods, forgetting, self.registry.files)
        self.check_backbones(axes)
        self.stop_at_faults()
        self.check_dimensions(axes)
        self.stop_at_faults()
        self.check_twins(methods)
        self.stop_at_faults()
        return self.sound(axes)

    def sound(self, axes: Axes) -> Axes:
        """Without what is left out. Where no cell remains, that is a fault."""
        broken = {file: self.registry.broken.get(self.place_of(file)) for file in axes.file.plugins}
        left = axes.without(self.left_out, {file: redacted(reason) for file, reason in broken.items() if reason})
        kinds: tuple[tuple[Kind, Mapping[str, object]], ...] = (("methods", left.methods), ("tasks", left.tasks))
        for kind, remaining in kinds:
            for name, reason in self.left_out.get(kind, {}).items() if not remaining else ():
                self.fault((kind, name), reason)
        self.stop_at_faults()
        return left

    def file(self, data: Any) -> SuiteFile:
        """Raises SuiteError where the document is none of a suite, or of too large a one."""
        if not isinstance(data, dict):
            self.fault((), f"a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
            self.stop_at_faults()
        for key in ("tasks", "methods"):
            for index, name in enumerate(data[key] if isinstance(data.get(key), list) else ()):
                self.lines[(key, str(name))] = yaml_lines.line_of(self.lines, (key, index))
        for place, message in odd_values(data):
            self.fault(place, message)
        self.stop_at_faults()
        file = self.validate(SuiteFile, data, (), "key")
        self.stop_at_faults()
        assert file is not None
        if (count := len(file.seeds) * len(file.backbones) * len(file.tasks) * len(file.methods)) > MOST_CELLS:
            self.fault((), f"comes to {count:,} cells, more than {MOST_CELLS:,}; make several suites of it")
            self.stop_at_faults()
        return file

    def validate(self, model: type[M], data: Any, place: Place, noun: str) -> M | None:
        """The data as a `model`. Strictly, as of JSON: no text, truth value or fraction passes for a whole number."""

        def read() -> M | None:
            try:
                return model.model_validate_json(json.dumps(data), strict=True, context={"base": self.path.parent})
            except ValidationError as error:
                for inside, message in explained(error, data, model, noun):
                    self.fault((*place, *inside), message)
            return None

        return self.attempt(place, read)

    def add_plugins(self, files: list[Path]) -> None:
        for index, file in enumerate(files):
            self.attempt(("plugins", index), partial(self.offer, file))
        self.stop_at_faults()

    def offer(self, plugin: Path) -> None:
        self.registry.offer(self.place_of(plugin))

    def place_of(self, plugin: Path) -> Path:
        """Of a plugin file, which the suite gives as seen from itself."""
        return (self.path.parent / plugin.expanduser()).resolve()

    def plugin(self, kind: Kind, name: str, place: Place) -> Plugin | None:
        def get() -> Plugin:
            try:
                return self.registry.get(kind, name)
            except KeyError as error:
                if error.args != (name,):  # an error of the plugin's own
                    raise
                for reason in self.registry.broken.values():
                    self.fault(("plugins",), reason)
                raise PluginError(self.unknown(kind, name)) from None

        return self.attempt(place, get)

    def unknown(self, kind: Kind, name: str) -> str:
        valid = self.registry.names(kind)
        hint = nearest(name, valid) or ";"
        return f"unknown {kind.removesuffix('s')} {name!r}{hint} known: {', '.join(valid)}"

    def known(self, kind: Kind, name: str, place: Place) -> None:
        """Notes a fault where the name is nobody's. Imports nothing: a name with a colon is made to order, or of a
        library, and left to whoever makes it."""
        if ":" not in name and name not in self.registry.names(kind):
            self.fault(place, self.unknown(kind, name))

    def budget(self, file: SuiteFile, name: str, own: dict[str, Any]) -> Budget | None:
        """A task's: the common one, with the task's own values in it."""
        return self.validate(Budget, file.budget.model_dump() | own, ("tasks", name), "budget value")

    def backbone(self, index: int, spec: str) -> Backbone | None:
        def find() -> Backbone:
            try:
                found = Backbone.find(spec, self.path.parent)
                _ = found.revision
                return found
            except BackboneError as error:
                valid = embedded_names()
                hint = f"{nearest(spec, valid) or ';'} embedded: {', '.join(valid)}" if "unknown" in str(error) else ""
                raise BackboneError(f"{error}{hint}") from None

        return self.attempt(("backbones", index), find)

    def task(self, file: SuiteFile, name: str) -> TaskEntry | None:
        """A task with its options, its form and its budget, which the file has side by side."""
        plugin = self.plugin("tasks", name, ("tasks", name))
        form = file.tasks[name].get("form", file.form)
        if form not in FORMS:
            self.fault(("tasks", name, "form"), f"takes {' or '.join(FORMS)}, got {form!r}")
        if plugin is None:
            return None
        known = plugin.cls.Options.model_fields
        values = {key: value for key, value in file.tasks[name].items() if key != "form"}
        own = {key: value for key, value in values.items() if key not in known}
        budget = self.budget(file, name, own)
        options = {key: value for key, value in file.tasks[name].items() if key in known}
        task = self.make(plugin, options, name)
        if task is None or budget is None:
            return None
        return TaskEntry(plugin, task, "text" if task.kind in TEXT_ONLY else form, budget)

    def make(self, plugin: Plugin, values: dict[str, Any], name: str) -> Task | None:
        options = self.validate(plugin.cls.Options, values, ("tasks", name), "option")
        return None if options is None else self.attempt(("tasks", name), lambda: plugin.cls(options))

    def method(self, file: SuiteFile, label: str) -> MethodEntry | None:
        place, values = ("methods", label), file.methods[label]
        plugin = self.plugin("methods", label.partition("@")[0], place)
        method = self.validate(plugin.cls, values, place, "hyperparameter") if plugin else None
        if plugin is None or method is None:
            return None
        names = sorted({phase.task for phase in _of_the_plugin(method.phases) if phase.task})
        sources = _found({name: self.plugin("tasks", name, place) for name in names})
        entry = MethodEntry(plugin, method, tuple(sources.values()))

        def asked_later() -> None:  # where no method is to blame for what is raised
            _ = entry.hyperparameters, method.demonstrations(), method.extra_positions, method.trained_on

        _of_the_plugin(asked_later)
        return entry

    def forgetting(self, name: str | None) -> Plugin | None:
        """The task on which forgetting is measured, where it is."""
        plugin = self.plugin("tasks", name, ("forgetting",)) if name else None
        if plugin and getattr(plugin.cls, "card", None) and plugin.cls.card.kind == "language modelling":
            return plugin
        if plugin:
            self.fault(("forgetting",), f"takes a task of language modelling; {name} is none")
        return None

    def check_paths(self, specs: list[str], found: Mapping[str, Backbone]) -> None:
        """Two spellings of one folder would be two backbones in every table."""
        seen: dict[tuple[bool, Path], str] = {}
        for index, spec in enumerate(specs):
            if spec not in found:
                continue
            path = self.path.parent / Path(spec.removeprefix(RANDOM)).expanduser()
            if path.exists() and (twin := seen.setdefault((spec.startswith(RANDOM), path.resolve()), spec)) != spec:
                self.fault(("backbones", index), f"is the same place as {twin!r}; name it once")

    def check_backbones(self, axes: Axes) -> None:
        """Of each its configuration, tokenizer and weights must fit each other, and texts, with what methods put before
        them, be no longer than it has positions."""
        methods = [entry.method for entry in axes.methods.values()]
        before = sorted({(method.demonstrations(), method.extra_positions) for method in methods})
        for index, backbone in enumerate(axes.backbones.values()):
            try:
                backbone.check()
            except BackboneError as error:
                self.fault(("backbones", index), str(error))
                continue
            for name, entry in axes.tasks.items():
                asked = (Asked(entry.task.kind, entry.form, entry.budget, *each) for each in before)
                if message := next(filter(None, (each.beyond(backbone) for each in asked)), None):
                    own = "max_length" in axes.file.tasks[name]
                    self.fault(("tasks", name, "max_length") if own else ("budget", "max_length"), message)

    def check_dimensions(self, axes: Axes) -> None:
        """Hyperparameters that depend on the backbone's dimensions, held against a model without weights."""
        for index, backbone in enumerate(axes.backbones.values()):
            anatomy = self.attempt(("backbones", index), backbone.anatomy)
            if anatomy is None:
                continue
            self.check_recomputing(axes, backbone.spec, anatomy)
            for label, entry in axes.methods.items():
                place = ("methods", label)
                if strange := elsewhere(backbone.spec, entry.method.trained_on):
                    self.fault(place, strange)
                elif message := self.attempt(
                    place, partial(_of_the_plugin, partial(entry.method.out_of_range, anatomy))
                ):
                    self.fault(place, message)

    def check_recomputing(self, axes: Axes, spec: str, anatomy: Anatomy) -> None:
        """Of some architectures transformers cannot compute activations again."""
        if anatomy.model.supports_gradient_checkpointing:
            return
        for name, entry in axes.tasks.items():
            if entry.budget.activation_checkpointing:
                own = "activation_checkpointing" in axes.file.tasks[name]
                place = ("tasks", name) if own else ("budget",)
                kind = anatomy.config.model_type
                self.fault(
                    (*place, "activation_checkpointing"),
                    f"transformers has none for {kind}, which {spec} is; leave it out, or make micro_batch smaller",
                )

    def check_twins(self, methods: Mapping[str, MethodEntry]) -> None:
        """Two labels of one configuration would be one cell under two names."""
        seen: dict[tuple[str, str], str] = {}
        for label, entry in methods.items():
            configuration = entry.plugin.name, json.dumps(entry.hyperparameters, sort_keys=True)
            if (twin := seen.setdefault(configuration, label)) != label:
                self.fault(("methods", label), f"is the same configuration as {twin!r}")


def elsewhere(spec: str, trained_on: str) -> str | None:
    """Why an adapter is not for this backbone, where the names of both tell: a folder may hold anything."""
    here, there = (re.sub(r"@.*", "", name) for name in (spec, trained_on))
    tells = re.compile(r"embedded:.+|\w[\w.-]*/\w[\w.-]*")
    if here == there or not tells.fullmatch(here) or not tells.fullmatch(there):
        return None
    return f"was trained for the backbone {there}, and not for {here}; suites cross all methods with all backbones"


def _of_the_plugin(read: Callable[[], T]) -> T:
    """What the code of a plugin makes of itself: there the suite has made no mistake."""
    try:
        return read()
    except ValueError as error:
        raise BrokenPlugin(f"cannot be used: {described(error)}") from error


def _found(entries: Mapping[str, T | None]) -> dict[str, T]:
    """Those of which no fault was noted."""
    return {name: entry for name, entry in entries.items() if entry is not None}
