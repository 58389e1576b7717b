"""A suite with what its search has found: every configuration as the suite gives it, and as it was tuned."""

from __future__ import annotations

from pathlib import Path

from bench.resolved_suite import ResolvedSuite
from bench.tuning.trials import SuiteSearch
from records.cell import Cell
from records.store import ResultsError
from records.tuning import Search, tuned_label


def with_tuned(suite: ResolvedSuite, results: Path) -> ResolvedSuite:
    """The suite's cells, each followed by the same with the hyperparameters that were found. What has nothing to
    search, or whose trials all failed, has no such twin; nor has what was found to be as the suite gives it. Raises
    ResultsError where the search has not come to its end."""
    search = SuiteSearch.of(suite, results)
    if search.open():
        raise ResultsError(
            f"{suite.path}: asks for tuned hyperparameters, and {search.store.root} has no finished search of them; run"
            f" `bench tune` of the same suite first"
        )
    choices = {(s.backbone, s.task, s.label): s for s in search.standing()}
    cells: dict[str, Cell] = {}
    plugins, twins = dict(suite.plugins), {}
    for cell_id, cell in suite.cells.items():
        cells[cell_id] = cell
        found = choices.get((cell.backbone, search.tuning.task or cell.task, cell.label))
        twin = _twin(cell, found) if found else None
        if twin is not None and twin.id not in suite.cells:
            cells[twin.id] = twin
            twins[twin.label] = cell.label
            if files := suite.plugin_files(cell):
                plugins[twin.id] = files
    methods = suite.as_resolved["methods"] | {
        cell.label: cell.hyperparameters for cell in reversed(cells.values()) if cell.label in twins
    }
    changed = {
        "cells": cells,
        "plugins": plugins,
        "file": suite.file.model_copy(update={"methods": suite.file.methods | {label: {} for label in twins}}),
        "as_resolved": suite.as_resolved | {"methods": methods, "tuned": twins},
    }
    return suite.model_copy(update=changed)


def _twin(cell: Cell, found: Search) -> Cell | None:
    if found.chosen is None:
        return None
    given = cell.hyperparameters | found.chosen.values
    return cell.model_copy(update={"label": tuned_label(cell.label), "hyperparameters": given})
