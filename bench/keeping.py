"""What of a trained cell is kept beside its record: what its model answered, and what its method learnt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError

from bench.data import lengths
from bench.scoring import example_scores, resampled
from bench.training import phase_ends
from records.predictions import Predictions
from records.text import reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset
    from torch import Tensor

    from bench.forms.base import Predicted
    from methods.anatomy import Anatomy
    from methods.base import MethodBase
    from records.cell import Cell
    from tasks.base import Task

# Below this, `keep: {state: adapters}` keeps a state: all adapters, no fully tuned backbone of a common size.
ADAPTER_BYTES = 25 * 10**6


class BrokenState(Exception):
    """A file holds no state of this cell; the message says why, to be put after its path."""


def predictions_of(task: Task, asked: Dataset, found: Predicted, scores: Mapping[str, float]) -> Predictions:
    """Of a test split, in the order in which it was `asked`: features with the column `example`. Raises ScoreError."""
    examples = list(asked["example"])
    each = example_scores(task, found.predictions, found.references, scores)
    by_example = task.card.primary.name in each
    drawn = {} if by_example else resampled(task, examples, found.predictions, found.references)
    return Predictions(
        kind=task.kind,
        examples=examples,
        predictions=list(found.predictions),
        references=list(found.references),
        tokens=lengths(asked),
        scores=each,
        probabilities=[list(row) for row in found.probabilities],
        likelihoods=[list(row) for row in found.likelihoods],
        resampled=drawn,
    )


def state_to_bytes(state: Mapping[str, Tensor], cell: Cell) -> bytes:
    """As safetensors, with the cell as metadata: it says all that is needed to load the state again."""
    # Copies: parameters may share memory, or be views with gaps.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    return safetensors.torch.save(tensors, {"cell": json.dumps(cell.model_dump(mode="json"))})


def state_from_bytes(data: bytes) -> dict[str, Tensor]:
    """Raises BrokenState."""
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BrokenState(f"is no file of safetensors that can be read ({error})") from None


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raises BrokenState where an entry is no number: such a state is of a training that has come to nothing."""
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise BrokenState(f"has entries that are no numbers, in {name}")


def restore(method: MethodBase, anatomy: Anatomy, state: Mapping[str, Tensor], steps: int) -> None:
    """Brings an adapted model to where a training of so many steps had left it. Raises BrokenState where the state is
    none of this method on this backbone."""
    phases = method.phases()
    begun = 0
    for phase, end in zip(phases, phase_ends(phases, steps) if phases else [], strict=True):
        method.on_phase(anatomy, phase, end - begun)  # type: ignore[attr-defined]
        begun = end
    device = next(anatomy.model.parameters()).device
    try:
        method.load_state(anatomy.model, {name: value.to(device) for name, value in state.items()})
        lacking = sorted((method.state(anatomy.model).keys() | anatomy.head) - state.keys())
    except (KeyError, RuntimeError) as error:  # a name that there is not, another shape
        raise BrokenState(f"does not fit the method and the backbone: {reason(error)}") from None
    if lacking:
        raise BrokenState(f"lacks {lacking[0]}, which {method.card.name} learns")


def size_of(state: Mapping[str, Tensor]) -> int:
    """Bytes."""
    return sum(value.numel() * value.element_size() for value in state.values())


def is_kept(state: Mapping[str, Tensor], which: Any) -> bool:
    """Whether a suite that keeps `which` states keeps this one. There is none of a method that learns nothing."""
    return bool(state) and (which == "all" or (which == "adapters" and size_of(state) < ADAPTER_BYTES))
