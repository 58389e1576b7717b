"""Writes docs/tasks.md from the cards: `python -m tests.tasks.listing`."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from tasks.hub import HubTask

HEAD = """# Built-in tasks

Made from the cards by `python -m tests.tasks.listing`. Of data from the hub the repository and its commit are given; of
five whose commit could not be verified when this was written, the branch.

| task | kind | metrics (primary first) | train / validation / test | data | licence |
| --- | --- | --- | --- | --- | --- |
"""


def listing() -> str:
    lines = []
    for point in metadata.entry_points(group="bench.tasks"):
        if not point.value.startswith("tasks."):
            continue
        cls = point.load()
        card = cls.card
        data = "a package; no network"
        if issubclass(cls, HubTask):
            data = ", ".join(f"{source.repo}@{source.revision[:12]}" for source in cls.sources())
        lines.append(
            f"| {card.name} | {card.kind} | {', '.join(card.metrics)} | {card.size} | {data} | {card.licence} |\n"
        )
    return HEAD + "".join(lines)


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "tasks.md").write_text(listing(), encoding="utf-8")
