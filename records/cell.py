"""A cell: one (backbone, method, task, seed, budget), named by a hash of all that can change its result."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Part of every cell's identity: raise it when the engine changes in a way that can change a result.
ENGINE_REVISION = 4

# Far beyond what anybody runs; counts stay small enough to multiply.
MOST = 1_000_000_000

# Fields that came later, with their defaults: they are identity only where they are set, so that older ids stay.
_LATER = {"stop": None, "validation_from": None}
_LATER_OF_BUDGET = {"micro_batch": None, "activation_checkpointing": False}

FormName = Literal["head", "text"]
Precision = Literal["auto", "bf16", "no"]


class Budget(BaseModel):
    """What a cell may spend. Every phase of a method spends from the same budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_examples: int = Field(2000, ge=1, le=MOST, description="training examples, drawn by seed")
    validation_examples: int = Field(500, ge=1, le=MOST, description="validation examples, the same for all seeds")
    test_examples: int = Field(1000, ge=1, le=MOST, description="test examples, the same for all seeds")
    epochs: int = Field(3, ge=1, le=MOST, description="passes over the training examples; validation follows each")
    batch_size: int = Field(32, ge=1, le=MOST, description="examples per optimiser step")
    max_length: int = Field(128, ge=8, le=MOST, description="tokens; longer texts are cut")
    max_target_length: int = Field(64, ge=1, le=MOST, description="tokens of a generated answer; longer ones are cut")
    warmup: float = Field(0.06, ge=0, lt=1, description="share of each phase's steps spent warming up")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="examples per pass of the model, whose gradients add up to a step's; all of them",
    )
    activation_checkpointing: bool = Field(
        False, description="activations are computed again in the backward pass, which takes time and saves memory"
    )


class Cell(BaseModel):
    """One unit of work. Neither is identity: `label`, how the suite calls the method's configuration, and `adapter`,
    where files of the method's lie, as seen from the suite.

    With `stop`, training ends after that share of its steps, rounded up, under the learning rates of the whole: a trial
    of a search that is cut short. It is validated there and never tested, and what it leaves to go on from is filed
    under `whole`, from which a later one with a larger share, or none, takes it up.

    Of a run that others made and published, `form`, `precision` and `budget` are None: what they say of it is among
    the hyperparameters and the task's options, under their own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    backbone_revision: str
    method: str
    label: str
    hyperparameters: dict[str, Any]
    adapter: str = ""
    method_revision: str
    task: str
    task_revision: str
    task_options: dict[str, Any] = {}
    form: FormName | None = Field(
        "head", description="a fresh head on the backbone, or text from its own language model"
    )
    sources: dict[str, str] = Field({}, description="revisions of other tasks on which the method has a phase")
    forgetting: dict[str, str] = Field({}, description="revision of the task whose texts tell what was forgotten")
    seed: int
    precision: Precision | None
    budget: Budget | None
    stop: float | None = Field(None, gt=0, le=1, description="share of the steps after which training stops")
    validation_from: int | None = Field(
        None, ge=1, le=MOST, description="how many validation examples are left to other cells, and not drawn"
    )

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits."""
        identity = self.model_dump(mode="json", exclude={"label", "adapter"}) | {"engine_revision": ENGINE_REVISION}
        for part, names in ((identity, _LATER), (identity["budget"] or {}, _LATER_OF_BUDGET)):
            for name, default in names.items():
                if name in part and part[name] == default:
                    del part[name]
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def whole(self) -> Cell:
        """The same without `stop`."""
        return self.model_copy(update={"stop": None})

    @property
    def configuration(self) -> str:
        """What cells share that differ in nothing but their seed and label."""
        return self.model_copy(update={"seed": 0, "label": ""}).id

    def __str__(self) -> str:
        return f"{self.backbone} · {self.label} · {self.task} · seed {self.seed}"
