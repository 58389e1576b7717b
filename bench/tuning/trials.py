"""The trials of a suite's search, as cells: which there are, and which are to be run next. Imports no torch.

Every method gets the same number of trials, at the same places of its own ranges: what luck there is in them is shared.
"""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.resolved_suite import ResolvedSuite
from bench.suite import BUILT_IN
from bench.suite_file import Keep
from records.cards import MethodCard, Range
from records.cell import Cell
from records.record import Record
from records.store import RecordStore, ResultsError
from records.tuning import FOLDER, Search, Tuning, searches

# Where a card says nothing, from a tenth of the suite's learning rate to ten times it.
AROUND = 10.0
# Of the generator of places. Another number would be another search.
DRAW = 0


@dataclass(frozen=True)
class SuiteSearch:
    """The search that a suite asks for. `full` is for holding it against what it might have missed: its trials are
    trained to their end as well where it stops them; what it chooses is the same."""

    suite: ResolvedSuite
    tuning: Tuning
    store: RecordStore
    full: bool = False

    @classmethod
    def of(cls, suite: ResolvedSuite, results: Path, full: bool = False) -> SuiteSearch:
        """Raises ResultsError where the suite asks for none, or has nothing to search."""
        if suite.file.tuning is None:
            raise ResultsError(
                f"{suite.path}: asks for no search; give it a key `tuning`, as in `tuning: {{trials: 8}}`"
            )
        found = cls(suite, suite.file.tuning, RecordStore(results / FOLDER), full)
        if not found.spaces:
            raise ResultsError(f"{suite.path}: none of its methods has anything to search")
        return found

    @property
    def bases(self) -> Iterator[Cell]:
        """One cell of the suite for each configuration, backbone and task whose hyperparameters are searched."""
        first = self.suite.file.seeds[0]
        for cell in self.suite.cells.values():
            if cell.seed == first and self.tuning.task in (None, cell.task) and cell.label in self.spaces:
                yield cell

    @property
    def spaces(self) -> dict[str, tuple[Range, ...]]:
        """By label, the ranges of what is searched; without those that only prompt."""
        cards = self.suite.cards().methods
        given = {cell.label: cell for cell in self.suite.cells.values()}
        found = {label: space_of(cards[cell.method], cell.hyperparameters) for label, cell in given.items()}
        return {label: space for label, space in found.items() if space}

    def trials(self, rung: float) -> dict[tuple[str, str, str], list[list[Cell]]]:
        """Those of each search (backbone, task, label) up to a rung, each as its cells, one for each seed."""
        spaces = self.spaces
        return {
            (base.backbone, base.task, base.label): [
                [self._cell(base, values, seed, rung) for seed in self.tuning.seeds]
                for values in drawn(self.tuning, spaces[base.label])
            ]
            for base in self.bases
        }

    def _cell(self, base: Cell, values: dict[str, float], seed: int, rung: float) -> Cell:
        assert base.budget is not None
        given = {name: getattr(self.tuning, name) for name in ("train_examples", "validation_examples")}
        changed = {name: value for name, value in given.items() if value is not None}
        return base.model_copy(
            update={
                "hyperparameters": base.hyperparameters | values,
                "seed": seed,
                "stop": rung,
                "validation_from": base.budget.validation_examples if self.tuning.other_examples else None,
                "forgetting": {},
                "budget": base.budget.model_copy(update=changed),
            }
        )

    def carry_out(self, run: Callable[[ResolvedSuite], object]) -> None:
        """Has each rung run, and what is open of it alone, until the search has ended. Raises ResultsError where a run
        leaves no record of a cell."""
        while cells := self.open():
            run(self.as_suite(cells))
            self.write_manifest()
            following = self.open()
            if lacking := cells.keys() & following.keys():
                raise ResultsError(f"{self.store.root}: {len(lacking)} trials have left no record, as {min(lacking)}")
            if not self.full or not following:
                self._tidy({cell.whole.id for cell in following.values()})

    def _tidy(self, going_on: set[str]) -> None:
        """Removes what trials left to go on from, but for those that do: a checkpoint is as large as a model."""
        for cell in self.asked().values():
            if cell.whole.id not in going_on:
                self.store.remove_checkpoint(cell.whole.id)
                with contextlib.suppress(OSError):  # there is none, or more in it
                    self.store.folder(cell.whole.id).rmdir()

    def open(self) -> dict[str, Cell]:
        """The cells that are to be run next, by id: all of a rung, then, when these are done, those of the next. A
        trial that failed has been tried."""
        found = {cell_id: (cell, self._record(cell_id, cell)) for cell_id, cell in self.asked().items()}
        return {i: cell for i, (cell, record) in found.items() if record is None or record.status == "broken"}

    def asked(self) -> dict[str, Cell]:
        """All cells up to the rungs that trials have got to, in the order in which they were drawn."""
        standing = {(s.backbone, s.task, s.label): s for s in self.standing()}
        searched = all(search.finished for search in standing.values())
        found: dict[str, Cell] = {}
        for index, rung in enumerate(self.tuning.rungs):
            everybody = self.full and searched and rung == 1.0
            for place, trials in self.trials(rung).items():
                rungs = standing[place].rungs
                there = {trial.number for trial in rungs[index]} if index < len(rungs) else set()
                for number, cells in enumerate(trials):
                    if number in there or (everybody and not standing[place].trials[number].hopeless):
                        found |= {cell.id: cell for cell in cells}
        return found

    def write_manifest(self) -> None:
        """Of all cells so far, in place of that of the last run, which had a rung's alone. Raises OSError."""
        manifest = self.store.manifest()
        self.store.write_manifest(manifest.model_copy(update={"cells": self.asked()}))

    def standing(self) -> list[Search]:
        """What the records in the folder tell."""
        cells = {
            cell.id: cell
            for rung in self.tuning.rungs
            for trials in self.trials(rung).values()
            for trial in trials
            for cell in trial
        }
        records = {i: record for i, cell in cells.items() if (record := self._record(i, cell)) is not None}
        return searches(self.tuning, self.spaces, self.suite.cards(), cells, records)

    def _record(self, cell_id: str, cell: Cell) -> Record | None:
        return self.store.standing(cell_id, cell, self.suite.cards())

    def resolved(self) -> dict[str, Any]:
        """What the manifest says of the search."""
        spaces = {label: [asdict(each) for each in space] for label, space in self.spaces.items()}
        where = self.suite.name if self.suite.path.parent == BUILT_IN else str(self.suite.path)
        return self.suite.resolved() | {
            "tuning": self.tuning.model_dump(mode="json"),
            "spaces": spaces,
            "seeds": list(self.tuning.seeds),
            "profile": False,
            "name": f"{self.suite.name}-search",
            "command": shlex.join(["bench", "tune", where]),
        }

    def as_suite(self, cells: dict[str, Cell]) -> ResolvedSuite:
        """Something to run: these cells, of which nothing is kept beside the record."""
        keep = Keep(predictions=False, texts=False, state="none")
        bases = {(base.backbone, base.task, base.label): base for base in self.bases}
        plugins = {
            cell_id: files
            for cell_id, cell in cells.items()
            if (files := self.suite.plugin_files(bases[cell.backbone, cell.task, cell.label]))
        }
        file = self.suite.file.model_copy(update={"profile": False, "keep": keep})
        changed = {"cells": cells, "plugins": plugins, "file": file, "as_resolved": self.resolved()}
        return self.suite.model_copy(update=changed)


def space_of(card: MethodCard, given: dict[str, Any]) -> tuple[Range, ...]:
    """What is searched of a configuration: what its card says, as far as it has such hyperparameters, else its learning
    rate."""
    if found := tuple(each for each in card.search if each.name in given):
        return found
    rate = given.get("lr")
    if not isinstance(rate, float | int) or not rate > 0:
        return ()
    return (Range("lr", rate / AROUND, rate * AROUND, "two decades around the suite's own"),)


def drawn(tuning: Tuning, space: tuple[Range, ...]) -> list[dict[str, float]]:
    """The values of each trial. Of a longer search the first trials are those of a shorter one.

    Sobol's sequence, scrambled (Owen 1998), spreads them evenly: of eight trials one lies in each eighth of a range."""
    from scipy.stats import qmc

    generator = np.random.default_rng(DRAW)
    if tuning.sampler == "random":
        places = generator.random((tuning.trials, len(space)))
    else:
        with warnings.catch_warnings():  # of a number of trials that is no power of two, which are less even
            warnings.simplefilter("ignore", UserWarning)
            places = qmc.Sobol(len(space), scramble=True, rng=generator).random(tuning.trials)
    return [{each.name: each.at(place) for each, place in zip(space, row, strict=True)} for row in places.tolist()]
