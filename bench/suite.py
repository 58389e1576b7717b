"""A suite: the axes and the budget, read from YAML, validated, and expanded into cells."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench import backbones, yaml_lines
from bench.backbones import Asked, Backbone, BackboneError
from bench.cell import Budget, Cell, FormName
from bench.records import to_plain
from bench.registry import FILE_PREFIX, Kind, Plugin, PluginError, Registry
from bench.yaml_lines import Place

if TYPE_CHECKING:
    from methods.base import Method
    from tasks.base import Task

# Of these kinds there is no form but text.
TEXT_ONLY = ("generation", "language modelling")

BUILT_IN = Path(__file__).parent / "suites"


class SuiteError(Exception):
    """A suite is wrong; the message has one line per fault, each with file, line and what to write."""


class SuiteFile(BaseModel):
    """The YAML file, as it is written. `tasks` and `methods` are mappings from a name to its options, or
    plain lists of names. A method's key may carry a label after an @, as in `lora@r64`."""

    model_config = ConfigDict(extra="forbid")

    description: str = ""
    notes: str = Field("", description="said in the report's limitations, as on how learning rates were found")
    backbones: list[str] = Field(min_length=1)
    tasks: dict[str, dict[str, Any]] = Field(min_length=1)
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    budget: Budget = Budget()
    precision: Literal["auto", "bf16", "no"] = "auto"
    form: FormName = Field("head", description="how tasks that allow both are put to a backbone")
    forgetting: str | None = Field(None, description="a task whose test texts tell what a language model forgot")
    profile: bool = Field(True, description="whether the cost of every cell is profiled; a search needs scores alone")
    plugins: list[Path] = []

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _names_to_mapping(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            if doubled := {name for name in value if value.count(name) > 1}:
                raise ValueError(f"{', '.join(sorted(doubled))}: named twice")
            return {name: {} for name in value}
        if isinstance(value, dict):
            return {key: {} if options is None else options for key, options in value.items()}
        return value

    @field_validator("backbones", "seeds")
    @classmethod
    def _unique(cls, value: list) -> list:
        if len(set(value)) != len(value):
            raise ValueError("an entry is there twice")
        return value


@dataclass(frozen=True)
class Suite:
    """A valid suite: its name, the file as data, its cells by id in the order in which they run, and the
    plugins that they need."""

    name: str
    path: Path
    file: SuiteFile
    cells: dict[str, Cell]
    registry: Registry
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
        """The installed modules that its cells will import. A server that has imported them before the first
        cell gives all cells the same code, whatever happens to the files in the meantime."""
        plugins = [plugin.cls for plugin in self.methods.values() if not plugin.from_file]
        found = {cls.__module__ for cls in (*plugins, *map(type, self.tasks.values()))}
        installed = {name for name in found if not name.startswith(FILE_PREFIX)}
        return sorted(installed | {backbone.module for backbone in self.backbones.values()})

    def cards(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Every card by kind and name, as plain data for the manifest."""
        return {
            "methods": {name: to_plain(plugin.cls.card) for name, plugin in self.methods.items()},
            "tasks": {name: to_plain(task.card) for name, task in self.tasks.items()},
            "backbones": {spec: to_plain(backbone.card) for spec, backbone in self.backbones.items()},
        }

    def resolved(self) -> dict[str, Any]:
        """The suite with every default filled in, for the manifest."""
        methods = {cell.label: cell.hyperparameters for cell in self.cells.values()}
        return self.file.model_dump(mode="json") | {
            "name": self.name,
            "methods": methods,
            "command": f"bench run {self.name if self.path.parent == BUILT_IN else self.path}",
        }


def built_in() -> list[str]:
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def _find(name_or_path: str) -> Path:
    if (path := BUILT_IN / f"{name_or_path}.yaml").is_file():
        return path
    if (path := Path(name_or_path)).is_file():
        return path
    raise SuiteError(
        f"no suite {name_or_path!r}{_nearest(name_or_path, built_in())} built in: {', '.join(built_in())}; "
        "any other is given as the path of a YAML file"
    )


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
        self.faults.append(f"{self.path}:{line}: {where + ': ' if where else ''}{message}")

    def stop_at_faults(self) -> None:
        if self.faults:
            raise SuiteError("\n".join(dict.fromkeys(self.faults)))

    def read(self, data: Any) -> Suite:
        if not isinstance(data, dict):
            self.fault((), f"a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
            self.stop_at_faults()
        file = self.validate(SuiteFile, data, (), "key")
        self.stop_at_faults()
        assert file is not None
        registry = self.registry(file.plugins)
        self.stop_at_faults()
        found = {spec: self.backbone(index, spec) for index, spec in enumerate(file.backbones)}
        tasks = {name: self.plugin(registry, "tasks", name) for name in file.tasks}
        budgets = {name: self.budget(file, name, plugin) for name, plugin in tasks.items()}
        forms = {name: self.form(file, name) for name in file.tasks}
        made = {
            name: task
            for name, plugin in tasks.items()
            if plugin and (task := self.task(file, name, plugin)) is not None
        }
        forgetting = self.forgetting(registry, file)
        methods = {label: self.plugin(registry, "methods", label) for label in file.methods}
        configured = {
            label: self.validate(plugin.cls, file.methods[label], ("methods", label), "hyperparameter")
            for label, plugin in methods.items()
            if plugin is not None
        }
        self.stop_at_faults()
        shots = max(method.demonstrations() for method in configured.values())
        for index, backbone in enumerate(found.values()):
            assert backbone is not None
            if self.check_backbone(index, backbone):
                for name, task in made.items():
                    self.check_length(file, name, Asked(task.kind, forms[name], budgets[name], shots), backbone)
        self.stop_at_faults()
        sources = {label: self.sources(registry, label, method) for label, method in configured.items()}
        for backbone in found.values():
            self.check_dimensions(backbone, configured)
        self.stop_at_faults()
        cells: dict[str, Cell] = {}
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
                            sources=sources[label],
                            forgetting=forgetting,
                            seed=seed,
                            precision=file.precision,
                            budget=budgets[task_name],
                        )
                        if (twin := cells.setdefault(cell.id, cell)).label != label:
                            self.fault(("methods", label), f"is the same configuration as {twin.label!r}")
        self.stop_at_faults()
        return Suite(
            name=self.path.stem,
            path=self.path,
            file=file,
            cells=cells,
            registry=registry,
            methods={plugin.name: plugin for plugin in methods.values() if plugin},
            tasks=made,
            backbones={spec: backbone for spec, backbone in found.items() if backbone},
        )

    def validate(self, model: type[BaseModel], data: Any, place: Place, noun: str) -> Any:
        """The data as a `model`, or None with its faults noted."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for detail in error.errors():
                at = (*place, *_path_in_file(data, detail["loc"]))
                self.fault(at, _explain(detail, model, noun))
        return None

    def registry(self, files: list[Path]) -> Registry:
        found: list[Path] = []
        for index, file in enumerate(files):
            absolute = (self.path.parent / file.expanduser()).resolve()
            try:
                Registry((*found, absolute), self.path.parent)
            except PluginError as error:
                self.fault(("plugins", index), str(error))
            else:
                found.append(absolute)
        return Registry(tuple(found), self.path.parent)

    def plugin(self, registry: Registry, kind: Kind, label: str) -> Plugin | None:
        name = label.partition("@")[0] if kind == "methods" else label
        try:
            return registry.get(kind, name)
        except KeyError:
            valid = registry.names(kind)
            noun = kind.removesuffix("s")
            self.fault((kind, label), f"unknown {noun} {name!r}{_nearest(name, valid)} known: {', '.join(valid)}")
        except PluginError as error:
            self.fault((kind, label), str(error))
        return None

    def sources(self, registry: Registry, label: str, method: Method) -> dict[str, str]:
        """The revisions of the other tasks on which a method has a phase."""
        found = {}
        for name in {phase.task for phase in method.phases() if phase.task}:
            try:
                found[name] = registry.get("tasks", name).revision
            except KeyError:
                valid = registry.names("tasks")
                self.fault(
                    ("methods", label), f"unknown task {name!r}{_nearest(name, valid)} known: {', '.join(valid)}"
                )
        return found

    def check_dimensions(self, backbone: Backbone | None, configured: dict[str, Method]) -> None:
        """Hyperparameters that depend on the backbone's dimensions, held against a model without weights."""
        anatomy = backbone.anatomy() if backbone else None
        if anatomy is None:
            return
        for label, method in configured.items():
            if message := method.out_of_range(anatomy):
                self.fault(("methods", label), message)

    def backbone(self, index: int, spec: str) -> Backbone | None:
        try:
            return Backbone.find(spec, self.path.parent)
        except BackboneError as error:
            valid = backbones.names()
            hint = f"{_nearest(spec, valid)} embedded: {', '.join(valid)}" if "unknown" in str(error) else ""
            self.fault(("backbones", index), f"{error}{hint}")
        return None

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

    def check_length(self, file: SuiteFile, name: str, asked: Asked, backbone: Backbone) -> None:
        """A text may be no longer than the backbone has positions."""
        if message := asked.beyond(backbone):
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
        try:
            return plugin.cls(options) if options is not None else None
        except ValueError as error:
            self.fault(("tasks", name), str(error))
        return None

    def forgetting(self, registry: Registry, file: SuiteFile) -> dict[str, str]:
        """The revision of the task on which forgetting is measured, by its name."""
        if file.forgetting is None:
            return {}
        try:
            plugin = registry.get("tasks", file.forgetting)
        except KeyError:
            valid = registry.names("tasks")
            self.fault(("forgetting",), f"unknown task {file.forgetting!r}{_nearest(file.forgetting, valid)}")
            return {}
        if plugin.cls.card.kind != "language modelling":
            self.fault(("forgetting",), f"takes a task of language modelling; {file.forgetting} is none")
        return {plugin.name: plugin.revision}


def _path_in_file(data: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The part of an error's location that is a place in the file (pydantic adds names of its own types)."""
    for step in location:
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
        return f"unknown {noun}{_nearest(name, fields)} known: {', '.join(fields)}"
    if detail["type"] == "missing":
        return f"the key {name!r} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}, got {detail['input']!r}"
