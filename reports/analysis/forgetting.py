"""What tuning for a task did to a language model's loss on general text, where a suite asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from reports.analysis.summaries import Summaries
from reports.results import Results, select


@dataclass(frozen=True)
class Forgetting:
    """On one backbone: its loss `before` tuning, in nats per byte, and how much each (label, task) in `changes` raised
    it in the mean, smallest first. `measured` has means, spreads and cells."""

    backbone: str
    general: str
    before: float
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    changes: dict[tuple[str, str], float]
    seeds: int
    measured: Summaries


def forgetting(results: Results) -> list[Forgetting]:
    """One per backbone on which it was measured."""
    measured = results.cells[results.cells["forgotten"].notna()]
    made = []
    for backbone in results.backbones:
        cells = select(measured, backbone=backbone)
        if cells.empty:
            continue
        by_pair = cells.groupby(["label", "task"])
        changes = by_pair["forgotten"].mean().sort_values()
        made.append(
            Forgetting(
                backbone,
                str(results.suite.get("forgetting")),
                float(cells["general_loss"].mean()),
                tuple(task for task in results.tasks if task in set(cells["task"])),
                tuple(label for label in results.labels if label in set(cells["label"])),
                {(str(key[0]), str(key[1])): float(change) for key, change in changes.items()},  # type: ignore[index]
                int(by_pair.size().max()),
                Summaries(cells),
            )
        )
    return made
