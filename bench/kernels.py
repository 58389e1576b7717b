"""What PyTorch does slowly on a processor where a model has dropout, done faster, for all that a worker runs.

Drawing what dropout leaves out took a sixth of a training step of MiniLM, and attention with dropout, for which PyTorch
has no fused kernel on a processor, about as much again. Both are replaced at the dispatcher: models, methods and
plugins meet them without knowing. What is computed is the same; which of the random numbers leaves out what is not.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Generator, Tensor

# Held for as long as the process lives: with it the kernels would go.
_library: torch.library.Library | None = None

# A share that is not near 0 or 1 is exact enough in steps of 1/65,536, which takes half as many random bits.
COARSE = (0.05, 0.95)


def use() -> None:
    """From now on, in this process."""
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there were kernels before is what this is about
        _library.impl("bernoulli_.float", bernoulli_, "CPU")
        _library.impl("_scaled_dot_product_attention_math", attention, "AutogradCPU")


def bernoulli_(tensor: Tensor, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills a tensor of any shape with ones, each with probability `p`, and zeros, as `Tensor.bernoulli_` does. Random
    bits are compared with a threshold: 16 each where that is exact enough, else 32. Raises RuntimeError where `p` is no
    probability."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects a probability, from 0 to 1, but got {p}")
    if p in (0, 1) or not tensor.numel():
        return tensor.fill_(p)
    bits, kind = (16, torch.int16) if COARSE[0] <= p <= COARSE[1] else (32, torch.int32)
    lanes = 64 // bits
    # Whole words from the lowest: without a lower bound the highest bit would always be zero.
    words = torch.empty(-(-tensor.numel() // lanes), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    drawn = words.view(kind)[: tensor.numel()].view(tensor.shape)
    threshold = round(p * 2**bits)
    if threshold == 2**bits:  # one beyond the largest
        return tensor.fill_(1)
    return torch.lt(drawn, threshold - 2 ** (bits - 1), out=tensor)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Tensor | None = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Attention (Vaswani et al. 2017) of queries (…, length, size) to keys (…, keys, size) and values, and its weights,
    in full precision inside. What is hidden has minus infinity in `attn_mask` (…, length, keys), which is added to the
    scores, as PyTorch makes it of one of truth values; a query from which everything is hidden gets zeros. For these
    PyTorch's own looks through the scores of every head. `dropout_mask` says which weights are kept.
    """
    kind = query.dtype
    if enable_gqa:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    if is_causal and attn_mask is not None:
        raise RuntimeError("attention takes a mask, or is causal, but not both")
    lead = torch.broadcast_shapes(*(each.shape[:-2] for each in (query, key, value)))
    length, size = query.shape[-2:]
    keys = key.shape[-2]
    # (batch × heads, length or keys, size)
    flat = [_full(each).expand(*lead, -1, -1).reshape(-1, *each.shape[-2:]) for each in (query, key, value)]
    bias = _causal(length, keys) if is_causal else attn_mask
    scale = size**-0.5 if scale is None else scale
    if bias is None:
        scores = torch.bmm(flat[0] * scale, flat[1].transpose(1, 2))
    else:
        # Finite, so that a row without anything to see is not one of NaN.
        finite = bias.to(flat[0].dtype).clamp(min=torch.finfo(flat[0].dtype).min)
        every = finite.expand(*lead, length, keys).reshape(-1, length, keys)
        scores = torch.baddbmm(every, flat[0], flat[1].transpose(1, 2), alpha=scale)
    weights = scores.softmax(-1)
    if dropout_mask is None:
        kept = F.dropout(weights, dropout_p)
    else:
        kept = weights * dropout_mask.expand(*lead, length, keys).reshape(weights.shape) / (1 - dropout_p)
    found = torch.bmm(kept, flat[2]).view(*lead, length, value.shape[-1]).to(kind)
    if bias is not None:
        found = found * (bias > -torch.inf).any(-1, keepdim=True).to(kind)
    return found, kept.view(*lead, length, keys).to(kind)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _causal(length: int, keys: int) -> Tensor:
    return torch.zeros(length, keys).masked_fill_(torch.ones(length, keys, dtype=torch.bool).triu(1), -torch.inf)
