"""What every export starts from: a method that has learnt, on its backbone, in full precision; and how far a model that
was read back is from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bench.forms.base import Head
from methods.anatomy import Anatomy
from methods.base import MethodBase

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# What logits may differ by, where none is larger than ten: sums in another order.
TOLERANCE = 1e-4


class ExportError(Exception):
    """A cell cannot be exported as asked; the message says in one line why, and what to do instead."""


@dataclass(frozen=True)
class Learnt:
    """A method that has learnt, on the model that it has adapted. `plain` gives the backbone anew, under the same head
    as it was before; `backbone` is its name for others, with the `commit` where that is one of the hub's."""

    method: MethodBase
    anatomy: Anatomy
    head: Head
    plain: Callable[[], PreTrainedModel]
    backbone: str
    commit: str | None = None

    def head_state(self) -> dict[str, Tensor]:
        """The fresh head's parameters, as they were trained."""
        return {name: self.anatomy.model.get_parameter(name).detach() for name in sorted(self.anatomy.head)}

    def instead(self) -> str:
        """Which exports there are where one is refused."""
        merges = type(self.method).merge is not MethodBase.merge
        return f"use {'--to merged or ' if merges else ''}--to native"


def probe(model: PreTrainedModel, length: int = 12) -> dict[str, Tensor]:
    """Two texts of random tokens, as long as each other, and of an encoder-decoder what it has answered so far."""
    generator = torch.Generator().manual_seed(0)
    config: Any = model.config.get_text_config()
    ids = torch.randint(config.vocab_size, (2, length), generator=generator)
    ids[ids == config.pad_token_id] += 1 if config.pad_token_id == 0 else -1
    inputs: dict[str, Tensor] = {}
    if config.is_encoder_decoder:
        ids[ids == config.eos_token_id] -= 1
        ids[:, -1] = config.eos_token_id  # where heads read
        if model.can_generate():
            inputs["decoder_input_ids"] = ids[:, :4]
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {name: value.to(next(model.parameters()).device) for name, value in inputs.items()}


@torch.no_grad()
def logits(model: Any, inputs: dict[str, Tensor], length: int | None = None) -> Tensor:
    """In full precision; of the last `length` positions, where a prompt may stand before them."""
    found: Tensor = model.eval()(**inputs).logits.float()
    return found if length is None or found.dim() < 3 else found[:, -length:]


def difference(expected: Tensor, found: Tensor) -> float:
    """The largest difference of logits, as a share of a tenth of the largest, where that is above ten; infinite where
    one of them is no number."""
    if expected.shape != found.shape or not (torch.isfinite(expected).all() and torch.isfinite(found).all()):
        return float("inf")
    return ((expected - found).abs().max() / max(1.0, expected.abs().max().item() / 10)).item()
