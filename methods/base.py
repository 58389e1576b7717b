"""What a method is to the rest of the world: a card, its hyperparameters, and a few short overrides.

A method is one file: a `Card`, and a subclass of `Method` whose fields are its hyperparameters. It changes
a backbone in place and knows nothing of data, schedule or report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from methods.papers import with_papers
from records.cards import Claim, Range
from records.cards import MethodCard as Card

__all__ = [
    "Card",
    "Claim",
    "LearningRate",
    "Method",
    "MethodBase",
    "NotInPeft",
    "PeftForm",
    "Phase",
    "Range",
    "TaskInfo",
]

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from methods.anatomy import Anatomy

# For a method that has a default of its own: `lr: LearningRate = 5e-5`.
LearningRate = Annotated[float, Field(gt=0, le=10, description="peak learning rate of AdamW")]


@dataclass(frozen=True)
class Phase:
    """A stretch of training. `share` is its part of the cell's optimiser steps; shares add up to 1.

    `lr_scale` multiplies the learning rate: 0 for a phase that looks at gradients and changes nothing.
    `task` names another task on whose training data the phase runs; it must have as many classes.
    """

    name: str
    share: float
    lr_scale: float = 1.0
    task: str | None = None


@dataclass(frozen=True)
class PeftForm:
    """What a method has learnt, in the words of huggingface/peft: its type there ("LORA"), the options of its
    configuration, and its tensors under the names that they have in a `PeftModel`, task head left out.

    `note` says what a reader must know of the translation. Without `exact` the predictions differ, as the note says.
    """

    type: str
    options: dict[str, Any]
    tensors: dict[str, Tensor]
    note: str = ""
    exact: bool = True


class NotInPeft(Exception):
    """huggingface/peft cannot express what a method has learnt; the message is the reason."""


class TaskInfo(Protocol):
    """All that a method may know of a task: its name, its kind, and the tasks that it is a mixture of.

    `members` holds the name itself for a task that is no mixture. In a mixture of n tasks, models are called
    with `task_ids` (batch,), indices into `members`, beside their usual inputs.
    """

    @property
    def name(self) -> str:
        """As a suite names it."""

    @property
    def kind(self) -> str:
        """One of `records.vocabulary.KINDS`."""

    @property
    def members(self) -> tuple[str, ...]:
        """The tasks of a mixture."""


class MethodBase(BaseModel, ABC):
    """What every method has, and all of a method that trains nothing. Most are a `Method`.

    Fields are hyperparameters: typed, with a valid range, and a default. Each has an effect: one that has none beside
    some value of another is refused there (see `refuse_idle`), since two values would make two cells of one result.

    `revision` is part of a cell's identity: raise it whenever the method's behaviour changes, so that
    results of the old behaviour are never taken for results of the new.

    A card without `bibtex` gets the entries of methods/papers.bib that it cites; ValueError where one is lacking.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    card: ClassVar[Card]
    revision: ClassVar[int] = 1
    # Whether adapting changes no prediction before anything is trained. Whoever does not promise it says so.
    identical_at_start: ClassVar[bool] = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if isinstance(card := vars(cls).get("card"), Card):
            cls.card = with_papers(card)

    @property
    def extra_positions(self) -> int:
        """How many of a backbone's positions the method takes, beside those of the input."""
        return 0

    @property
    def location(self) -> str:
        """Where files of its own lie, as a suite names them: what they hold is told by its hyperparameters."""
        return ""

    @property
    def trained_on(self) -> str:
        """The name of the backbone for which it was trained elsewhere, where it was."""
        return ""

    def out_of_range(self, anatomy: Anatomy) -> str | None:
        """Which hyperparameter this backbone's dimensions do not allow, with the valid range; None if all fit.
        Asked with a model on the meta device, before any cell runs: the suite is then refused."""
        return None

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        """The reason why the method does not apply here, for the report; None where it does."""
        return None

    @abstractmethod
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        """Freeze and insert, in place. Afterwards exactly the method's parameters and the task head
        require gradients. Random initialisation draws from torch's global generator, seeded by the caller.
        """

    def demonstrations(self) -> int:
        """How many training examples a prompt shows, with their answers, before it asks."""
        return 0

    def phases(self) -> tuple[Phase, ...]:
        """The phases of training in order; each spends its share of the one budget of optimiser steps. None: nothing
        is learnt."""
        return ()

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

    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """What was learnt, as huggingface/peft keeps it, for the plain backbone under the same head. Raises NotInPeft
        where peft has nothing that computes the same."""
        raise NotInPeft(f"peft has no type that computes what {self.card.name} does")

    def hyperparameters(self) -> dict[str, Any]:
        """Every field with its value, defaults included, as plain data."""
        return self.model_dump(mode="json")

    def refuse_idle(self, *names: str, unless: str) -> None:
        """For validators: raises ValueError where a field that has no effect beside the values of the others is given
        any but its default. `unless` says when it has one: "reparametrise is true"."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].get_default():
                raise ValueError(f"{name} has no effect unless {unless}; leave it out")


class Method(MethodBase):
    """A method that is trained: base class of all but the prompting baselines."""

    lr: LearningRate = 1e-3
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay of AdamW")

    @override
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("tune", 1.0),)

    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        """Called before each phase, the first included, with its number of optimiser steps. May change what
        is trainable; each phase has an optimiser of its own. Modules that change what tokens read come in `adapt`."""

    def parameter_groups(self, anatomy: Anatomy) -> list[dict[str, Any]]:
        """What is trainable now, as groups for the optimiser; a group's `lr` (default: the method's) and
        `weight_decay` are its own. By default one group."""
        return [{"params": [p for p in anatomy.model.parameters() if p.requires_grad]}]

    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        """Called in optimiser step `step` (counted from 1 within the phase) when gradients are there and not
        yet clipped. A penalty on parameters adds its gradient here."""

    def after_step(self, anatomy: Anatomy, step: int, optimizer: Optimizer) -> None:
        """Called after optimiser step `step` (counted from 1 within the phase). Whoever replaces entries of a
        parameter resets its entries of `optimizer.state` as well."""

    @property
    def acts_between_steps(self) -> bool:
        """Whether `after_backward` or `after_step` is its own, and may write to any weight. Else frozen weights stay
        what they are for as long as a phase lasts; other code that writes to them has to let autograd know (under
        `torch.no_grad()`, and not to `.data`)."""
        hooks = ("after_backward", "after_step")
        return any(getattr(type(self), hook) is not getattr(Method, hook) for hook in hooks)

    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """What a training under way keeps elsewhere than in the model's parameters and buffers, which are kept anyway:
        tensors and plain data, under names. None, where that cannot be told: such a training is begun anew after it was
        cut off. By default nothing, and None for a method that overrides `on_phase`, `after_backward` or `after_step`,
        which itself has to say what they keep."""
        keeps = self.acts_between_steps or type(self).on_phase is not Method.on_phase
        return None if keeps else {}

    def load_progress(self, anatomy: Anatomy, progress: dict[str, Any]) -> None:
        """The inverse of `progress`, on a model that was adapted anew and has been through `on_phase`, up to the
        present phase's, without being trained. Afterwards it has the parameters and buffers that it had; what they held
        is then put back."""
