"""The subjects of a report, one a file: each takes the analysis and gives blocks for the document and points for the
talk.

A subject is a module of this package with

    PLACE = "results"  # or "before" or "after" the results, or "appendix"
    ORDER = 25  # among those of the same place

    def part(analysis: Analysis, prose: Prose) -> Part: ...

and nothing else has to be told of it. One of `results` is a subsection there; the others are sections of their own.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from reports.analysis.analysis import Analysis
    from reports.model.document import Part
    from reports.model.prose import Prose

Place = Literal["before", "results", "after", "appendix"]
PLACES: tuple[Place, ...] = get_args(Place)


def subjects(place: Place) -> list[ModuleType]:
    """The modules of the subjects that have this place, in their order."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    there = [module for module in modules if getattr(module, "PLACE", None) == place]
    return sorted(there, key=lambda module: (module.ORDER, module.__name__))


def parts(place: Place, analysis: Analysis, prose: Prose) -> list[Part]:
    """What the subjects of a place have to say. Where nothing has a score, there are no results to speak of."""
    if place == "results" and analysis.results.scored.empty:
        return []
    return [module.part(analysis, prose) for module in subjects(place)]
