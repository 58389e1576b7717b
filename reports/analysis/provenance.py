"""Where results come from that others published, and what they leave unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reports.results import Results


@dataclass(frozen=True)
class Provenance:
    """`files` counts result files; `first` and `last` are days of runs. `devices` and `branches` are as told;
    `versions` has of each package, and `commits` of the code, every one that was told. `rate` is the commonest learning
    rate, which `rated` of the configurations have (None: they tell of none). `others` are metrics beside the primary
    one."""

    sources: tuple[str, ...]
    files: int
    first: str
    last: str
    devices: tuple[str, ...]
    branches: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    commits: tuple[str, ...]
    seeds: int
    rate: float | None
    rated: int
    others: tuple[str, ...]


# The packages that a reader is told of.
PACKAGES = ("peft", "transformers", "diffusers", "torch")


def provenance(results: Results) -> Provenance | None:
    """None for a run of ours."""
    published = results.published
    if not published:
        return None
    environments = [environment for environment, _ in results.environments()]
    versions = [_mapping(environment.get("versions")) for environment in environments]
    days = sorted(each.date[:10] for each in published)
    cells = {cell.label: cell for cell in results.manifest.cells.values()}
    rates = Counter(rate for cell in cells.values() if _is_number(rate := cell.hyperparameters.get("lr")))
    rate, rated = rates.most_common(1)[0] if rates else (None, 0)
    return Provenance(
        sources=_each(one.source for one in published),
        files=len(published),
        first=days[0],
        last=days[-1],
        devices=_each(environment.get("device") for environment in environments),
        branches=_each(one.branch for one in published),
        versions={name: of for name in PACKAGES if (of := _each(each.get(name) for each in versions))},
        commits=_each(environment.get("commit") for environment in environments),
        seeds=int(results.cells["seed"].nunique()),
        rate=rate,
        rated=rated,
        others=_each(str(name) for task in results.tasks for name in results.task_card(task).metrics[1:]),
    )


def _each(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
