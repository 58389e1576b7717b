"""Every configuration against the reference: differences of scores, paired by seed, tested as one family."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.analysis.statistics import Comparison, compare_paired, holm
from reports.analysis.summaries import Summaries, seeds_of
from reports.results import Results


@dataclass(frozen=True)
class Contrast:
    """A label against the reference on one task; `adjusted` is Holm's p over all contrasts of the run."""

    backbone: str
    task: str
    label: str
    comparison: Comparison
    ids: tuple[str, ...]
    adjusted: float | None = None


def compare_with_reference(results: Results, scored: Summaries) -> list[Contrast]:
    """Every label with the reference, paired by seed, for every backbone and task that has both."""
    found: list[Contrast] = []
    reference = results.reference
    if reference is None:
        return found
    for backbone in results.backbones:
        for task in results.tasks:
            theirs = scored.cells(backbone, task, reference)
            for label in results.labels:
                own = scored.cells(backbone, task, label)
                comparison = compare_paired(seeds_of(own), seeds_of(theirs))
                if label != reference and comparison.n:
                    found.append(Contrast(backbone, task, label, comparison, (*own.index, *theirs.index)))
    adjusted = iter(holm([c.comparison.p for c in found if c.comparison.p is not None]))
    return [c if c.comparison.p is None else replace(c, adjusted=next(adjusted)) for c in found]
