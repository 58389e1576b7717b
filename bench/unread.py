"""What of a last layer no head reads is not computed, in training and in evaluation.

The heads that encoders have for whole sequences read the first token's state ([CLS], Devlin et al. 2019). Of the last
layer that takes the keys and values of all tokens, and the rest of it for one: of six layers, an eighth of all that is
computed. What comes out is the same but for rounding. Profiles are of the whole backbone, as everybody counts it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.forms.base import Form
    from methods.anatomy import Anatomy, Layer

# What it is tried on: enough texts and tokens for any two to differ.
TEXTS, TOKENS = 4, 12
# The method's own parameters are moved by as much for that, since what begins at zero would show nothing.
MOVED = 0.02
# Of the largest output; what rounding makes in full precision is a hundredth of it.
ALIKE = 1e-4


def leave_out(anatomy: Anatomy, form: Form) -> bool:
    """From here on an adapted model computes of its last layer what its head reads; returns whether it does. It does
    not where the form's head reads all tokens, where the architecture's layers are of another build, or where the
    outputs are then others: a method may have tokens read each other behind the attention."""
    layer = anatomy.layers[-1]
    if form.head.kind != "sequence" or layer.attention_residual is None:
        return False
    inputs = _tried_on(anatomy, form)
    with _asked(anatomy), torch.no_grad():
        whole = form.read(anatomy.model, inputs).logits
        undo = _cut(anatomy, layer)
        cut = form.read(anatomy.model, inputs).logits
    same = whole.shape == cut.shape and bool(((whole - cut).abs() <= ALIKE * whole.abs().max()).all())
    if not same:
        undo()
    return same


def _tried_on(anatomy: Anatomy, form: Form) -> dict[str, Tensor]:
    vocabulary = anatomy.config.vocab_size
    ids = torch.randint(0, vocabulary, (TEXTS, TOKENS), generator=torch.Generator().manual_seed(0))
    made = form.synthetic(ids.to(next(anatomy.model.parameters()).device))
    # Texts of different lengths, whose padding is to stay hidden.
    lengths = TOKENS - 2 * torch.arange(TEXTS, device=made["attention_mask"].device)
    mask = torch.arange(TOKENS, device=lengths.device) < lengths[:, None]
    return {"input_ids": made["input_ids"], "attention_mask": mask.to(made["attention_mask"].dtype)}


@contextmanager
def _asked(anatomy: Anatomy) -> Iterator[None]:
    """Within, the model is in evaluation mode, and the parameters that are not the backbone's are moved."""
    model, own = anatomy.model, set(anatomy.backbone_names)
    moved = [p for name, p in model.named_parameters() if name not in own and p.is_floating_point()]
    values = [parameter.detach().clone() for parameter in moved]
    training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for parameter in moved:
                parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter), alpha=MOVED)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, values, strict=True):
                parameter.copy_(value)
        model.train(training)


def _cut(anatomy: Anatomy, layer: Layer) -> Callable[[], None]:
    """Cuts the layer to its first token; returns what takes that back."""
    assert layer.attention_residual is not None
    hooks = [layer.attention_residual.register_forward_pre_hook(_first_of_each)]
    if not anatomy.uses_attention_interface:
        return hooks[0].remove
    attention: Any = layer.attention
    whole = attention.config
    attention.config = copy.copy(whole)
    attention.config._attn_implementation = ATTENTION
    attention.attends_by = whole._attn_implementation

    def undo() -> None:
        hooks[0].remove()
        attention.config = whole

    return undo


def _first_of_each(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of hidden states (batch, length, size), those of the first token, (batch, 1, size)."""
    return tuple(states[:, :1].contiguous() for states in args)


def _attention_of_first(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Any]:
    """What the first query (of: batch, heads, length, size) sees, in the place of what every query does."""
    mask = None if attention_mask is None else attention_mask[..., :1, :]
    attend = ALL_ATTENTION_FUNCTIONS[module.attends_by]
    found, weights = attend(module, query[:, :, :1], key, value, mask, **options)  # (batch, 1, heads, size)
    return found.expand(-1, query.shape[2], -1, -1), weights


ATTENTION = "adaptbench_first"
AttentionInterface.register(ATTENTION, _attention_of_first)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
