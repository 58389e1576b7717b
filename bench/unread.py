"""What of a last layer no head reads is not computed, in training and in evaluation.

The heads that encoders have for whole sequences read the first token's state ([CLS], Devlin et al. 2019). Behind the
last layer's attention, and as queries of it, the other tokens are for nobody: of six layers, an eighth of all that is
computed. What comes out is the same but for rounding. Profiles are of the whole backbone, as everybody counts it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bench.memory import is_out_of_memory
from bench.sharding import is_sharded
from methods.composition import inputs as prefixes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.forms.base import Form
    from methods.anatomy import Anatomy, Layer

# What it is tried on: enough texts and tokens for any two to differ.
TEXTS, TOKENS = 4, 12
# What the method trains is moved by as much for that, since what begins at zero would show nothing.
MOVED = 0.1
# Of the largest output; rounding makes a tenth of it.
ALIKE = 1e-5
# Attention functions whose queries can be had one by one, with a mask for each.
SEVERABLE = ("sdpa", prefixes.ATTENTION)


def leave_out(anatomy: Anatomy, form: Form) -> bool:
    """From here on an adapted model, not yet prepared for a precision, computes of its last layer what its head reads;
    returns whether it does. It does not where the form's head reads all tokens, where the architecture's layers are of
    another build, where ranks share the model's weights, or where outputs are then others, or there are none: a method
    may have tokens read each other behind the attention."""
    layer = anatomy.layers[-1]
    if form.head.kind != "sequence" or layer.attention_residual is None or is_sharded(anatomy.model):
        return False
    inputs = _tried_on(anatomy, form)
    with _asked(anatomy), torch.no_grad():
        whole = form.read(anatomy.model, inputs).logits
        undo = _cut(anatomy, layer)
        try:
            cut = form.read(anatomy.model, inputs).logits
            same = whole.shape == cut.shape and bool(((whole - cut).abs() <= ALIKE * whole.abs().max()).all())
        except Exception as error:
            if is_out_of_memory(error):
                raise
            same = False
        if not same:
            undo()
    return same


def _tried_on(anatomy: Anatomy, form: Form) -> dict[str, Tensor]:
    tokens = min(TOKENS, form.max_length)
    ids = torch.randint(0, anatomy.config.vocab_size, (TEXTS, tokens), generator=torch.Generator().manual_seed(0))
    made = form.synthetic(ids.to(next(anatomy.model.parameters()).device))
    shown = made["attention_mask"]
    # Texts of different lengths, whose padding is to stay hidden.
    lengths = (tokens - 2 * torch.arange(TEXTS, device=shown.device)).clamp(min=1)
    mask = torch.arange(tokens, device=shown.device) < lengths[:, None]
    return {"input_ids": made["input_ids"], "attention_mask": mask.to(shown.dtype)}


@contextmanager
def _asked(anatomy: Anatomy) -> Iterator[None]:
    """Within, the model is in evaluation mode, and what the method trains of its own is moved."""
    model, backbone = anatomy.model, set(anatomy.backbone_names)
    moved = [p for name, p in model.named_parameters() if p.requires_grad and name not in backbone]
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
    hook = layer.attention_residual.register_forward_pre_hook(_first_of_each)
    attention: Any = layer.attention
    whole = attention.config if anatomy.uses_attention_interface else None
    if whole is None or whole._attn_implementation not in SEVERABLE:
        return hook.remove
    attention.config = copy.copy(whole)
    attention.config._attn_implementation = ATTENTION
    attention.attends_by = whole._attn_implementation

    def undo() -> None:
        hook.remove()
        attention.config = whole

    return undo


def _first_of_each(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of hidden states (batch, length, size), those of the first token, (batch, 1, size)."""
    # What is not contiguous takes a linear layer another, slower way.
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
