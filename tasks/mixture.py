"""Several tasks as one: `mixture:rotten_tomatoes+bbc_news`. For methods that share what they learn between tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field
from typing_extensions import override

from tasks.base import Card, Metric, Task, TaskOptions

if TYPE_CHECKING:
    from datasets import DatasetDict

EXAMPLE = "<task>+<task>"


class MixtureOptions(TaskOptions):
    """How often each task is drawn."""

    temperature: float = Field(
        1.0, ge=1, description="1: tasks by their size; the higher, the more evenly (Karimi Mahabadi et al. 2021)"
    )


class MixtureTask(Task):
    """Raises ValueError where its parts cannot be mixed."""

    Options = MixtureOptions
    tasks: Sequence[Task]

    @property
    @override
    def members(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @override
    def commits(self) -> dict[str, str]:
        return {repo: commit for task in self.tasks for repo, commit in task.commits().items()}

    @override
    def dropped(self) -> dict[str, int]:
        return {f"{task.name}: {why}": n for task in self.tasks for why, n in task.dropped().items()}

    @override
    def notes(self) -> list[str]:
        return [f"{task.name}: {note}" for task in self.tasks for note in task.notes()]

    def load(self) -> DatasetDict:
        """All columns of all tasks, and `task`, an index into `members`. Training examples are mixed in shares
        pᵢ ∝ nᵢ^(1/temperature), each at most once: as many as the task that is scarcest for its share allows."""
        from datasets import DatasetDict, concatenate_datasets

        loaded = [task.load() for task in self.tasks]
        counts = [len(data["train"]) for data in loaded]
        shares = [count ** (1 / self.options.temperature) for count in counts]  # type: ignore[attr-defined]
        total = min(count * sum(shares) / share for count, share in zip(counts, shares, strict=True))
        taken = [max(1, int(total * share / sum(shares))) for share in shares]
        mixed = {}
        for split in ("train", "validation", "test"):
            parts = []
            for index, data in enumerate(loaded):
                rows = data[split]
                if split == "train":
                    # Rows may be in an order that means something.
                    rows = rows.shuffle(seed=0).select(range(taken[index]))
                parts.append(rows.add_column("task", [index] * len(rows)))
            mixed[split] = concatenate_datasets(parts)
        return DatasetDict(mixed)

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        """Predictions and references come in pairs with the index of their task. Every task's primary metric under
        its name, and their mean, `average`."""
        found = {}
        for index, task in enumerate(self.tasks):
            own = [value for member, value in predictions if member == index]
            if own:
                right = [value for member, value in references if member == index]
                found[task.name] = task.score(own, right)[task.card.primary.name]
        return {"average": sum(found.values()) / len(found), **found}


class Registry(Protocol):
    """What of the engine's registry a mixture needs: its plugins by kind and name."""

    @property
    def get(self) -> Callable[[Any, str], Any]:
        """The plugin, by kind and name."""


def get(description: str, registry: Registry) -> type[MixtureTask]:
    """The class of a mixture by the names of its tasks, joined by `+`. Raises ValueError where one is unknown."""
    names = description.split("+")
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"mixture:{description}: takes two different tasks or more, joined by +")
    plugins = []
    for name in names:
        try:
            plugins.append(registry.get("tasks", name))
        except KeyError:
            raise ValueError(f"mixture:{description}: unknown task {name!r}; bench list tasks shows them") from None
    members = [plugin.cls() for plugin in plugins]
    if any(member.kind == "mixture" for member in members):
        raise ValueError(f"mixture:{description}: a mixture is no part of another")
    cards = [member.card for member in members]
    for card in cards:
        if not card.primary.higher_is_better or card.primary.high != 1:
            raise ValueError(
                f"mixture:{description}: {card.name} is scored by {card.primary.name}, which is no fraction of which"
                " more is better; the mean over tasks would mean nothing"
            )

    lows = [card.primary.low for card in cards]

    class Made(MixtureTask):
        card = Card(
            name=f"mixture:{description}",
            title=" + ".join(card.title for card in cards),
            kind="mixture",
            metrics=(
                Metric("average", low=None if None in lows else min(lows)),
                *(replace(card.primary, name=card.name) for card in cards),
            ),
            summary="Several tasks, trained together.",
            split="As each of them has them.",
            licence="; ".join(dict.fromkeys(card.licence for card in cards)),
            citation=",".join(card.citation for card in cards if card.citation),
            bibtex="\n\n".join(card.bibtex for card in cards),
            offline=all(card.offline for card in cards),
        )
        revision = "+".join(plugin.revision for plugin in plugins)
        tasks = members

    return Made
