"""A suite: the axes and the budget, read from YAML, validated, and expanded into cells."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench import backbones, yaml_lines
from bench.backbones import Asked, Backbone, BackboneError
from bench.plugin_files import described
from bench.registry import Kind, Plugin, PluginError, Registry
from bench.suite_file import SuiteFile, explain_type, odd_values
from bench.yaml_lines import Place
from records.cards import Cards
from records.cell import Budget, Cell, FormName
from tasks.base import TaskUnavailable

if TYPE_CHECKING:
    from methods.base import Method
    from tasks.base import Task

T = TypeVar("T")

# Before a path, which two spellings of one are told by.
CONFIG = "config:"
MOST_CELLS = 100_000
# Of these kinds there is no form but text.
TEXT_ONLY = ("generation", "language modelling")

BUILT_IN = Path(__file__).parent / "suites"


class SuiteError(Exception):
    """A suite is wrong; the message has one line per fault, each with file, line and what to write."""


@dataclass(frozen=True)
class Suite:
    """A valid suite: its name, the file as data, its cells by id in the order in which they run, and the plugins that
    they need; of each cell, by id, the plugin files, which are all that its worker imports of them."""

    name: str
    path: Path
    file: SuiteFile
    cells: dict[str, Cell]
    plugins: dict[str, tuple[Path, ...]]
    methods: dict[str, Plugin]
    tasks: dict[str, Task]
    backbones: dict[str, Backbone]

    @classmethod
    def load(cls, name_or_path: str) -> Suite:
        """Reads a built-in suite by name, or a file by path. Raises SuiteError; loads no model and no data."""
        path = _find(name_or_path)
        try:
            data, lines = yaml_lines.load(path)
        except yaml_lines.YamlError as error:
            raise SuiteError(str(error)) from None
        return _Reader(path, lines).read(data)

    def modules(self) -> list[str]:
        """Our own modules that its cells will import. A server that has imported them before the first cell gives all
        cells the same code, whatever happens to the files in the meantime. Other people's are imported by the cells
        that need them: what one of them changes in a library at its import is its own cells' affair."""
        plugins = [plugin.cls for plugin in self.methods.values()]
        found = {cls.__module__ for cls in (*plugins, *map(type, self.tasks.values()))}
        ours = {name for name in found if name.partition(".")[0] in ("methods", "tasks")}
        return sorted(ours | {backbone.module for backbone in self.backbones.values()})

    def notes(self) -> list[str]:
        """What of the user's tasks was understood how, a line each, to be shown before a run."""
        found = []
        for name, task in self.tasks.items():
            found += [f"{name}: {note}" for note in task.notes()]
            found += [
                f"{name}: {metric!r} is read as a fraction of which more is better; if it is not, say so on the card:"
                f" Metric({metric!r}, higher_is_better=..., low=..., high=...)"
                for metric in task.card.assumed
            ]
        return found

    def cards(self) -> Cards:
        """The card of everything that takes part, for the manifest."""
        return Cards(
            methods={name: plugin.cls.card for name, plugin in self.methods.items()},
            tasks={name: task.card for name, task in self.tasks.items()},
            backbones={spec: backbone.card for spec, backbone in self.backbones.items()},
        )

    def resolved(self) -> dict[str, Any]:
        """The suite with every default filled in, for the manifest."""
        methods = {cell.label: cell.hyperparameters for cell in self.cells.values()}
        return self.file.model_dump(mode="json") | {
            "name": self.name,
            "methods": methods,
            "command": shlex.join(["bench", "run", self.name if self.path.parent == BUILT_IN else str(self.path)]),
        }


def built_in() -> list[str]:
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    try:
        if (known := BUILT_IN / f"{name_or_path}.yaml").is_file():
            return known
        path = path.expanduser()
        there, file = path.exists(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a null byte, of nobody's home
        raise SuiteError(f"no suite {_printable(name_or_path[:100])!r}: {error}") from None
    if there and not file:
        raise SuiteError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; name a YAML file")
    if file:
        # Results are kept under the stem.
        if not path.stem.isprintable() or path.stem.strip(". ") == "":
            raise SuiteError(f"{_printable(str(path))}: results cannot be named after this file; give it another name")
        return path
    raise SuiteError(
        f"no suite {name_or_path!r}{_nearest(name_or_path, built_in())} built in: {', '.join(built_in())}; "
        "any other is given as the path of a YAML file"
    )


def _printable(text: str) -> str:
    """Terminal codes and line breaks written out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _nearest(name: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ";"


class _Reader:
    """Turns one YAML document into a Suite, collecting every fault before it gives up."""

    def __init__(self, path: Path, lines: dict[Place, int]) -> None:
        self.path = path
        self.lines = lines
        self.faults: list[str] = []

    def fault(self, place: Place, message: str) -> None:
        where = ".".join(map(str, place))
        line = yaml_lines.line_of(self.lines, place)
        self.faults.append(_printable(f"{self.path}:{line}: {where + ': ' if where else ''}{message}"))

    def attempt(self, place: Place, read: Callable[[], T]) -> T | None:
        """What it reads, or None with the fault noted: whatever goes wrong while a suite is read is one line."""
        try:
            return read()
        except (BackboneError, PluginError, TaskUnavailable, ValueError) as error:
            self.fault(place, " ".join(str(error).split()))
        except Exception as error:
            self.fault(place, f"cannot be used: {described(error)}")
        return None

    def stop_at_faults(self) -> None:
        if self.faults:
            raise SuiteError("\n".join(dict.fromkeys(self.faults)))

    def read(self, data: Any) -> Suite:
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
        registry = self.registry(file.plugins)
        self.stop_at_faults()
        found = {spec: self.backbone(index, spec) for index, spec in enumerate(file.backbones)}
        self.check_paths({spec: index for index, spec in enumerate(file.backbones) if found[spec]})
        tasks = {name: self.plugin(registry, "tasks", name) for name in file.tasks}
        budgets = {name: self.budget(file, name, plugin) for name, plugin in tasks.items()}
        forms = {name: self.form(file, name) for name in file.tasks}
        made = {
            name: task
            for name, plugin in tasks.items()
            if plugin and (task := self.task(file, name, plugin)) is not None
        }
        general = self.forgetting(registry, file)
        methods = {label: self.plugin(registry, "methods", label) for label in file.methods}
        configured = {
            label: self.validate(plugin.cls, file.methods[label], ("methods", label), "hyperparameter")
            for label, plugin in methods.items()
            if plugin is not None
        }
        self.stop_at_faults()
        put_before = {(method.demonstrations(), method.extra_positions) for method in configured.values()}
        for index, backbone in enumerate(found.values()):
            assert backbone is not None
            if self.check_backbone(index, backbone):
                for name, task in made.items():
                    asked = [Asked(task.kind, forms[name], budgets[name], *before) for before in sorted(put_before)]
                    self.check_length(file, name, asked, backbone)
        self.stop_at_faults()
        sources = {label: self.sources(registry, label, method) for label, method in configured.items()}
        for index, backbone in enumerate(found.values()):
            self.check_dimensions(index, backbone, configured)
        self.stop_at_faults()
        cells: dict[str, Cell] = {}
        files: dict[str, tuple[Path, ...]] = {}
        # Seeds outermost: a run that is cut short has whole comparisons of fewer seeds.
        for seed in file.seeds:
            for spec, backbone in found.items():
                for task_name, plugin in tasks.items():
                    for label, method in methods.items():
                        assert backbone and plugin and method
                        cell = Cell(
                            backbone=spec,
                            backbone_revision=backbone.revision,
                            method=method.name,
                            label=label,
                            hyperparameters=configured[label].hyperparameters(),
                            method_revision=method.revision,
                            task=task_name,
                            task_revision=plugin.revision,
                            task_options=made[task_name].options.model_dump(mode="json"),
                            form="text" if made[task_name].kind in TEXT_ONLY else forms[task_name],
                            sources={name: source.revision for name, source in sources[label].items()},
                            forgetting={general.name: general.revision} if general else {},
                            seed=seed,
                            precision=file.precision,
                            budget=budgets[task_name],
                        )
                        if (twin := cells.setdefault(cell.id, cell)).label != label:
                            self.fault(("methods", label), f"is the same configuration as {twin.label!r}")
                        needed = (method, plugin, *sources[label].values(), *([general] if general else []))
                        wanted = {name for each in needed for name in each.files}
                        files[cell.id] = tuple(name for name in registry.files if name in wanted)
        self.stop_at_faults()
        return Suite(
            name=self.path.stem,
            path=self.path,
            file=file,
            cells=cells,
            plugins=files,
            methods={plugin.name: plugin for plugin in methods.values() if plugin},
            tasks=made,
            backbones={spec: backbone for spec, backbone in found.items() if backbone},
        )

    def validate(self, model: type[BaseModel], data: Any, place: Place, noun: str) -> Any:
        """The data as a `model`, or None with its faults noted. Strictly, as of JSON: no text, truth value or fraction
        passes for a whole number."""
        try:
            return model.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            for detail in error.errors():
                at = (*place, *_path_in_file(data, detail["loc"]))
                self.fault(at, _explain(detail, model, noun))
        return None

    def registry(self, files: list[Path]) -> Registry:
        registry = Registry((), self.path.parent)

        def add(file: Path) -> None:
            registry.add((self.path.parent / file.expanduser()).resolve())

        for index, file in enumerate(files):
            self.attempt(("plugins", index), lambda file=file: add(file))  # type: ignore[misc]
        return registry

    def plugin(self, registry: Registry, kind: Kind, label: str, place: Place = ()) -> Plugin | None:
        place = place or (kind, label)
        name = label.partition("@")[0] if kind == "methods" else label

        def get() -> Plugin:
            try:
                return registry.get(kind, name)
            except KeyError as error:
                if error.args != (name,):  # an error of the plugin's own
                    raise
                valid = registry.names(kind)
                noun = kind.removesuffix("s")
                raise PluginError(f"unknown {noun} {name!r}{_nearest(name, valid)} known: {', '.join(valid)}") from None

        return self.attempt(place, get)

    def sources(self, registry: Registry, label: str, method: Method) -> dict[str, Plugin]:
        """The other tasks on which a method has a phase, by name."""
        place = ("methods", label)
        phases = self.attempt(place, method.phases) or ()
        names = sorted({phase.task for phase in phases if phase.task})
        found = {name: self.plugin(registry, "tasks", name, place) for name in names}
        return {name: plugin for name, plugin in found.items() if plugin}

    def check_dimensions(self, index: int, backbone: Backbone | None, configured: dict[str, Method]) -> None:
        """Hyperparameters that depend on the backbone's dimensions, held against a model without weights."""
        anatomy = self.attempt(("backbones", index), backbone.anatomy) if backbone else None
        if anatomy is None:
            return
        for label, method in configured.items():
            message = self.attempt(("methods", label), lambda method=method: method.out_of_range(anatomy))  # type: ignore[misc]
            if message:
                self.fault(("methods", label), message)

    def check_paths(self, specs: dict[str, int]) -> None:
        """Two spellings of one folder would be two backbones in every table."""
        seen: dict[tuple[bool, Path], str] = {}
        for spec, index in specs.items():
            path = self.path.parent / Path(spec.removeprefix(CONFIG)).expanduser()
            if path.exists() and (twin := seen.setdefault((spec.startswith(CONFIG), path.resolve()), spec)) != spec:
                self.fault(("backbones", index), f"is the same place as {twin!r}; name it once")

    def backbone(self, index: int, spec: str) -> Backbone | None:
        def find() -> Backbone:
            try:
                found = Backbone.find(spec, self.path.parent)
                _ = found.revision
                return found
            except BackboneError as error:
                valid = backbones.names()
                hint = f"{_nearest(spec, valid)} embedded: {', '.join(valid)}" if "unknown" in str(error) else ""
                raise BackboneError(f"{error}{hint}") from None

        return self.attempt(("backbones", index), find)

    def budget(self, file: SuiteFile, name: str, plugin: Plugin | None) -> Budget:
        """The suite's budget with the task's own values in place of the common ones."""
        if plugin is None:  # whose options could not be told from budget values
            return file.budget
        own = plugin.cls.Options.model_fields
        overrides = {key: value for key, value in file.tasks[name].items() if key not in own and key != "form"}
        place = ("tasks", name)
        return self.validate(Budget, file.budget.model_dump() | overrides, place, "budget value") or file.budget

    def check_backbone(self, index: int, backbone: Backbone) -> bool:
        """Whether its configuration, its tokenizer and its weights fit each other; else the fault is noted."""
        try:
            backbone.check()
        except BackboneError as error:
            self.fault(("backbones", index), str(error))
            return False
        return True

    def check_length(self, file: SuiteFile, name: str, asked: Iterable[Asked], backbone: Backbone) -> None:
        """A text, with what methods put before it, may be no longer than the backbone has positions."""
        if message := next(filter(None, (each.beyond(backbone) for each in asked)), None):
            own = "max_length" in file.tasks[name]
            self.fault(("tasks", name, "max_length") if own else ("budget", "max_length"), message)

    def form(self, file: SuiteFile, name: str) -> FormName:
        form = file.tasks[name].get("form", file.form)
        if form not in get_args(FormName):
            self.fault(("tasks", name, "form"), f"takes {' or '.join(get_args(FormName))}, got {form!r}")
        return form

    def task(self, file: SuiteFile, name: str, plugin: Plugin) -> Task | None:
        own = {key: value for key, value in file.tasks[name].items() if key in plugin.cls.Options.model_fields}
        options = self.validate(plugin.cls.Options, own, ("tasks", name), "option")
        return None if options is None else self.attempt(("tasks", name), lambda: plugin.cls(options))

    def forgetting(self, registry: Registry, file: SuiteFile) -> Plugin | None:
        """The task on which forgetting is measured."""
        if file.forgetting is None:
            return None
        plugin = self.plugin(registry, "tasks", file.forgetting, ("forgetting",))
        if plugin and getattr(plugin.cls, "card", None) and plugin.cls.card.kind == "language modelling":
            return plugin
        if plugin:
            self.fault(("forgetting",), f"takes a task of language modelling; {file.forgetting} is none")
        return None


def _path_in_file(data: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The part of an error's location that is a place in the file (pydantic adds names of its own types)."""
    for step in location:
        if step == "[key]":  # what pydantic calls a mapping's key itself
            return
        yield step
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return


def _explain(detail: Any, model: type[BaseModel], noun: str) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        fields = Budget.model_fields if "budget" in detail["loc"][:1] else model.model_fields
        if "budget" in detail["loc"][:1]:
            noun = "budget value"
        return f"unknown {noun}{_nearest(name, fields)} known: {', '.join(fields) or 'none'}"
    if detail["type"] == "missing":
        return f"the key {name!r} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    got = repr(detail["input"])
    got = got if len(got) <= 80 else f"{got[:80]}…"
    return f"{message[0].lower()}{message[1:]}, got {got}{explain_type(detail['type'], detail['input'])}"
