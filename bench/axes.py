"""What a suite crosses, once everything that it names is found and valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.backbones import Backbone
from bench.registry import Kind, Plugin
from bench.suite_file import SuiteFile
from methods.base import Method
from records.cell import Budget, FormName
from tasks.base import Task

# The methods (by label) and tasks that a suite names and whose plugins are broken, with the reasons.
LeftOut = dict[Kind, dict[str, str]]


@dataclass(frozen=True)
class TaskEntry:
    """A task of the suite, with its own values of the budget in place of the common ones."""

    plugin: Plugin
    task: Task
    form: FormName
    budget: Budget

    @cached_property
    def options(self) -> dict[str, Any]:
        """As plain data."""
        return self.task.options.model_dump(mode="json")


@dataclass(frozen=True)
class MethodEntry:
    """A configuration of a method, and the other tasks on which it has a phase."""

    plugin: Plugin
    method: Method
    sources: tuple[Plugin, ...]

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """As plain data, defaults included."""
        return self.method.hyperparameters()


@dataclass(frozen=True)
class Axes:
    """What a suite crosses: backbones by spec, tasks by name, methods by label, all of them found and valid.
    `forgetting` is the task whose texts tell what was forgotten, `plugin_files` are in the file's order. `file` is
    without what is left out. `unread` says of plugin files that nothing of the suite is known to be in why they are not
    read.
    """

    file: SuiteFile
    backbones: dict[str, Backbone]
    tasks: dict[str, TaskEntry]
    methods: dict[str, MethodEntry]
    forgetting: Plugin | None
    plugin_files: tuple[Path, ...]
    left_out: LeftOut = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def without(self, left_out: LeftOut, broken: Mapping[Path, str]) -> Axes:
        """What remains of it; `broken` are plugin files."""
        methods = {label: entry for label, entry in self.methods.items() if label not in left_out.get("methods", {})}
        tasks = {name: entry for name, entry in self.tasks.items() if name not in left_out.get("tasks", {})}
        told = {reason for lost in left_out.values() for reason in lost.values()}
        file = self.file.model_copy(
            update={
                "methods": {label: self.file.methods[label] for label in methods},
                "tasks": {name: self.file.tasks[name] for name in tasks},
                "plugins": [path for path in self.file.plugins if path not in broken],
            }
        )
        unread = tuple(reason for reason in broken.values() if reason not in told)
        return replace(self, file=file, methods=methods, tasks=tasks, left_out=left_out, unread=unread)
