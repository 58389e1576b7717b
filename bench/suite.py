"""A suite: the axes and the budget, and the cells that they expand into."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import suite_reader
from bench.axes import Axes, LeftOut
from bench.suite_file import SuiteFile
from bench.suite_reader import SuiteError
from records.cards import Cards
from records.cell import Cell
from records.text import escaped
from records.vocabulary import nearest

__all__ = ["BUILT_IN", "Suite", "SuiteError", "built_in", "expand", "find"]

BUILT_IN = Path(__file__).parent / "suites"


def expand(axes: Axes) -> Iterator[Cell]:
    """Every cell, in the order in which they run, but for the last ones (`bench.waiting`): backbone by backbone and
    task by task, there with all methods and seeds, so that a run that is cut short has whole comparisons."""
    forgetting = {axes.forgetting.name: axes.forgetting.revision} if axes.forgetting else {}
    for spec, backbone in axes.backbones.items():
        for name, task in axes.tasks.items():
            for seed in axes.file.seeds:
                for label, method in axes.methods.items():
                    yield Cell(
                        backbone=spec,
                        backbone_revision=backbone.revision,
                        method=method.plugin.name,
                        label=label,
                        hyperparameters=method.hyperparameters,
                        adapter=method.method.location,
                        method_revision=method.plugin.revision,
                        task=name,
                        task_revision=task.plugin.revision,
                        task_options=task.options,
                        form=task.form,
                        sources={source.name: source.revision for source in method.sources},
                        forgetting=forgetting,
                        seed=seed,
                        precision=axes.file.precision,
                        budget=task.budget,
                    )


@dataclass(frozen=True, repr=False)
class Suite:
    """A valid suite. Its results are kept under its name."""

    path: Path
    axes: Axes
    # What was read, where that was no file.
    given: Mapping[str, Any] | None = None

    @classmethod
    def load(cls, name_or_path: str) -> Suite:
        """Reads a built-in suite by name, or a file by path. Raises SuiteError; loads no model and no data."""
        path = find(name_or_path)
        return cls(path, suite_reader.read(path))

    @classmethod
    def read(cls, given: str | Path | Mapping[str, Any], name: str = "suite", base: Path | str = ".") -> Suite:
        """As `load`; or of a mapping with a suite file's keys, whose results are kept under `name`, and whose relative
        paths are seen from `base`. Raises SuiteError, with a line for each fault."""
        if not isinstance(given, Mapping):
            return cls.load(str(given))
        if not re.fullmatch(r"[\w][\w.-]*", name):
            raise SuiteError(f"{name!r}: results cannot be kept under this name; take letters, digits, - and _")
        path = Path(base).expanduser() / f"{name}.yaml"
        return cls(path, suite_reader.read_mapping(given, path), given=dict(given))

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return self.path.stem

    @property
    def file(self) -> SuiteFile:
        """What the YAML file says."""
        return self.axes.file

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By id, in the order of `expand`."""
        return {cell.id: cell for cell in expand(self.axes)}

    def plugin_files(self, cell: Cell) -> tuple[Path, ...]:
        """Those that the cell needs, which are all that its worker imports of them, in the suite's order."""
        task, method = self.axes.tasks[cell.task], self.axes.methods[cell.label]
        plugins = [task.plugin, method.plugin, *method.sources]
        if self.axes.forgetting:
            plugins.append(self.axes.forgetting)
        needed = {file for plugin in plugins for file in plugin.files}
        return tuple(file for file in self.axes.plugin_files if file in needed)

    def modules(self) -> list[str]:
        """Our own modules that its cells will import. A server that has imported them before the first cell gives all
        cells the same code, whatever happens to the files in the meantime. Other people's are imported by the cells
        that need them: what one of them changes in a library at its import is its own cells' affair."""
        plugins = [method.plugin.cls for method in self.axes.methods.values()]
        tasks = [type(task.task) for task in self.axes.tasks.values()]
        found = {cls.__module__ for cls in (*plugins, *tasks)}
        ours = {name for name in found if name.partition(".")[0] in ("methods", "tasks")}
        return sorted(ours | {backbone.module for backbone in self.axes.backbones.values()})

    @property
    def left_out(self) -> LeftOut:
        """Methods and tasks that the suite names and that have no cells, since their plugins are broken."""
        return self.axes.left_out

    def notes(self) -> list[str]:
        """What of the user's tasks was understood how, a line each, to be shown before a run."""
        found = [f"not read, and nothing of this suite is known to be in it: {reason}" for reason in self.axes.unread]
        for name, entry in self.axes.tasks.items():
            found += [f"{name}: {note}" for note in entry.task.notes()]
            found += [
                f"{name}: {metric!r} is read as a fraction of which more is better; if it is not, say so on the card:"
                f" Metric({metric!r}, higher_is_better=..., low=..., high=...)"
                for metric in entry.task.card.assumed
            ]
        return found

    def cards(self) -> Cards:
        """The card of everything that takes part, for the manifest."""
        return Cards(
            methods={method.plugin.name: method.plugin.cls.card for method in self.axes.methods.values()},
            tasks={name: entry.task.card for name, entry in self.axes.tasks.items()},
            backbones={spec: backbone.card for spec, backbone in self.axes.backbones.items()},
        )

    def resolved(self) -> dict[str, Any]:
        """The suite with every default filled in, for the manifest."""
        tuning = {} if self.file.tuning else {"tuning"}
        return self.file.model_dump(mode="json", exclude={"slurm", *tuning}) | {
            "name": self.name,
            "methods": {label: method.hyperparameters for label, method in self.axes.methods.items()},
            "command": self._command(),
            **({"left_out": self.left_out} if self.left_out else {}),
        }

    def _command(self) -> str:
        if self.given is not None:
            return f"bench.run(bench.Suite.read({self.given!r}, {self.name!r}))"
        return shlex.join(["bench", "run", self.name if self.path.parent == BUILT_IN else str(self.path)])

    def __repr__(self) -> str:
        file = self.file
        axes = {"backbones": file.backbones, "methods": file.methods, "tasks": file.tasks, "seeds": file.seeds}
        counted = " × ".join(f"{len(values)} {axis}" for axis, values in axes.items())
        return f"<Suite {self.name}: {len(self.cells)} cells, {counted}>"


def built_in() -> list[str]:
    """The names of the suites that come with this package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def find(name_or_path: str) -> Path:
    """The file of a built-in suite, or of a path. Raises SuiteError."""
    path = Path(name_or_path)
    try:
        if (known := BUILT_IN / f"{name_or_path}.yaml").is_file():
            return known
        path = path.expanduser()
        there, file = path.exists(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a null byte, of nobody's home
        raise SuiteError(f"no suite {escaped(name_or_path[:100])!r}: {error}") from None
    if there and not file:
        raise SuiteError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; name a YAML file")
    if file:
        # Results are kept under the stem.
        if not path.stem.isprintable() or path.stem.strip(". ") == "":
            raise SuiteError(f"{escaped(str(path))}: results cannot be named after this file; give it another name")
        return path
    hint = nearest(name_or_path, built_in()) or ";"
    raise SuiteError(
        f"no suite {name_or_path!r}{hint} built in: {', '.join(built_in())}; any other is given as the path of a YAML"
        " file"
    )
