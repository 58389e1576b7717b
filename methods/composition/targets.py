"""Which projections a method changes, and whether a backbone has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field

from methods.anatomy import Anatomy, SiteName


def _distinct(targets: tuple[SiteName, ...]) -> tuple[SiteName, ...]:
    # Not by `min_length`, which would complain of an unknown name as well: it leaves none.
    if not targets:
        raise ValueError("takes at least 1 target")
    if len(set(targets)) < len(targets):
        raise ValueError("a target is named twice")
    return targets


# A hyperparameter: `targets: Targets = ("query", "value")`.
Targets = Annotated[tuple[SiteName, ...], Field(description="projections to adapt"), AfterValidator(_distinct)]


def rank_out_of_range(rank: int, anatomy: Anatomy, targets: Collection[SiteName]) -> str | None:
    """Above a projection's smaller dimension a rank describes nothing of low rank."""
    smallest = anatomy.smallest_dimension(targets)
    if smallest is None or rank <= smallest[0]:
        return None
    return f"rank {rank} exceeds the dimension of {smallest[1]}; it takes 1 to {smallest[0]}"


def missing_target(anatomy: Anatomy, targets: Collection[SiteName]) -> str | None:
    """The reason why a projection cannot be adapted: the architecture has none of that name."""
    for name in targets:
        if not anatomy.sites([name]):
            return f"the architecture {anatomy.config.model_type} has no {name}"
    return None
