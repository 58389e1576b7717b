"""What a method is to the rest of the world: a card, its hyperparameters, and a few short overrides.

A method is one file: a `Card`, and a subclass of `Method` whose fields are its hyperparameters. It changes
a backbone in place and knows nothing of data, schedule or report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.anatomy import Anatomy

Family = Literal["baseline", "sparse", "low-rank", "adapter", "soft-prompt", "hypernetwork"]
Composition = Literal["none", "parameter", "input", "function"]

# For a method that has a default of its own: `lr: LearningRate = 5e-5`.
LearningRate = Annotated[float, Field(gt=0, le=10, description="peak learning rate of AdamW")]


@dataclass(frozen=True)
class Claim:
    """What a paper says of its method, as data, so that a report can hold it against what was measured.

    `measure` is a column of the report's frame (`score`, `adapter_parameters`, `peak_memory_bytes`, …),
    `comparator` another method's name, `relation` how the two should stand, `margin` the tolerance in the
    measure's own unit, `scope` where the paper made the claim.
    """

    text: str
    source: str
    measure: str
    comparator: str
    relation: Literal["at least", "at most", "higher", "lower", "equal"]
    margin: float = 0.0
    scope: str = ""


@dataclass(frozen=True)
class Card:
    """What a report must know of a method without importing it.

    `formula` is LaTeX without dollar signs; `summary` one plain paragraph (no mark-up); `citation` the key
    of the entry in `bibtex`, which holds every entry that the card and its claims cite.
    """

    name: str
    title: str
    family: Family
    composition: Composition
    formula: str
    summary: str
    citation: str
    bibtex: str
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Phase:
    """A stretch of training. `share` is its part of the cell's optimiser steps; shares add up to 1."""

    name: str
    share: float


class TaskInfo(Protocol):
    """All that a method may know of a task: its name and its kind."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


class Method(BaseModel, ABC):
    """Base class of all methods. Fields are hyperparameters: typed, with a valid range, and a default.

    `revision` is part of a cell's identity: raise it whenever the method's behaviour changes, so that
    results of the old behaviour are never taken for results of the new.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    card: ClassVar[Card]
    revision: ClassVar[int] = 1

    lr: LearningRate = 1e-3
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay of AdamW")

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        """The reason why the method does not apply here, for the report; None where it does."""
        return None

    @abstractmethod
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        """Freeze and insert, in place. Afterwards exactly the method's parameters and the task head
        require gradients. Random initialisation draws from torch's global generator, seeded by the caller.
        """

    def phases(self) -> tuple[Phase, ...]:
        """The phases in order; each spends its share of the one budget of optimiser steps."""
        return (Phase("tune", 1.0),)

    def on_phase(self, anatomy: Anatomy, phase: Phase) -> None:
        """Called before each phase, the first included. May change what is trainable."""

    def after_backward(self, anatomy: Anatomy) -> None:
        """Called after gradients are computed and before they are clipped."""

    def after_step(self, anatomy: Anatomy, step: int) -> None:
        """Called after optimiser step `step` (counted from 1 over all phases)."""

    def merge(self, model: nn.Module) -> bool:
        """Fold what was learnt into the backbone, in place, leaving its plain architecture.

        Returns False, and changes nothing, where the method cannot be merged.
        """
        return False

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """What has to be stored per task, head included: by default every trainable parameter."""
        return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """The inverse of `state`, on a model adapted (and brought to the same phase) by this method.

        Raises KeyError if the state names a parameter that the model lacks.
        """
        import torch

        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                parameters[name].copy_(value)

    def hyperparameters(self) -> dict[str, Any]:
        """Every field with its value, defaults included, as plain data."""
        return self.model_dump(mode="json")
