"""What PyTorch does slowly on a processor, done faster, for all that a worker runs.

Drawing what dropout leaves out took a sixth of a training step of MiniLM, and attention with dropout, for which PyTorch
has no fused kernel on a processor, about as much again. Under autocast, what several linear layers read was converted
by each of them, and weights that nothing changes by each pass. All are replaced at the dispatcher: models, methods and
plugins meet them without knowing. What is computed is the same but for rounding (`_Linear`); which of the random
numbers leaves out what is not, nor are the weights that `attention` gives beside its answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Generator, Tensor

P = ParamSpec("P")
T = TypeVar("T")

# Held for as long as the kernels are used: with it they go.
_library: torch.library.Library | None = None
_linear: _Linear | None = None
_forget: Callable[[], None] | None = None

# A share that is not near 0 or 1 is exact enough in steps of 1/65,536, which takes half as many random bits.
COARSE = (0.05, 0.95)


def use() -> None:
    """From now on, in this process."""
    global _library, _linear
    if _library is not None:
        return
    _library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there were kernels before is what this is about
        _library.impl("bernoulli_.float", bernoulli_, "CPU")
        _library.impl("_scaled_dot_product_attention_math", attention, "AutogradCPU")
        if hasattr(torch.library, "get_kernel"):  # since PyTorch 2.10
            _linear = _Linear(torch.library.get_kernel("aten::linear", "AutocastCPU").call_boxed)
            _library.impl("linear", _linear.__call__, "AutocastCPU", with_keyset=True)
            _at_the_end_of_autocast(_linear.forget)


@contextmanager
def aside() -> Iterator[None]:
    """Within, and outside of `weights_kept`, what PyTorch has of its own, for whoever compares with it."""
    global _library, _linear
    used = _library is not None
    _library = _linear = None
    if _forget is not None:
        torch.clear_autocast_cache = _forget
    try:
        yield
    finally:
        if used:
            use()


@contextmanager
def weights_kept(trained: bool = False) -> Iterator[None]:
    """Within, what autocast makes of frozen weights is kept from pass to pass; with `trained`, what it makes of others,
    too, in passes without gradients. For where nothing writes to weights but optimisers to those that they train, and
    autograd knows of what else does: what is written to `.data` is not seen. Without the kernels it does nothing."""
    if _linear is None:
        yield
        return
    outer = _linear.kept
    _linear.kept = _Kept(trained, outer)
    try:
        yield
    finally:
        _linear.kept = outer


def _at_the_end_of_autocast(action: Callable[[], None]) -> None:
    """Beside what autocast forgets then itself, where the outermost of it ends."""
    global _forget
    _forget = forget = torch.clear_autocast_cache

    def both() -> None:
        forget()
        action()

    torch.clear_autocast_cache = both


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
    """Attention (Vaswani et al. 2017) of queries (…, length, size) to keys (…, keys, size) and values, inside in full
    precision, and the weights that dropout leaves of it, not scaled up. What is hidden has minus infinity in
    `attn_mask` (…, length, keys), which is added to the scores, as PyTorch makes it of one of truth values; a query
    from which everything is hidden gets zeros. For these PyTorch's own looks through the scores of every head.
    `dropout_mask` says which weights are left."""
    kind = query.dtype
    if enable_gqa:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    if is_causal and attn_mask is not None:
        raise RuntimeError("attention takes a mask, or is causal, but not both")
    lead = torch.broadcast_shapes(*(each.shape[:-2] for each in (query, key, value)))
    length, size = query.shape[-2:]
    keys = key.shape[-2]
    # (batch × heads, length or keys, size)
    q, k, v = (_full(each.expand(*lead, -1, -1)).flatten(0, -3) for each in (query, key, value))
    bias = mask = _causal(length, keys) if is_causal else attn_mask
    blind = mask is not None and _may_be_blind(mask)
    if bias is not None:
        bias = bias.to(q.dtype)
        if blind:  # finite, so that a query without anything to see has no row of NaN
            bias = bias.clamp(min=torch.finfo(bias.dtype).min)
    scale = size**-0.5 if scale is None else scale
    if _transformed() or dropout_mask is not None or (bias is not None and bias.requires_grad):
        left = None
        if dropout_mask is not None and dropout_p:  # which without dropout PyTorch does not look at
            left = dropout_mask.expand(*lead, length, keys).reshape(-1, length, keys)
        found, kept = _by_steps(q, k, v, bias, lead, scale, dropout_p, left)
    else:
        found, kept = _Attended.apply(q, k, v, bias, lead, scale, dropout_p)  # type: ignore[no-untyped-call]
    found = found.view(*lead, length, value.shape[-1])
    # Whoever gets it may change it: autograd has a tensor of its own.
    found = _side_by_side(found, kind) if len(lead) > 1 else found.to(kind, copy=True)
    if mask is not None and blind:
        found = found * (mask > -torch.inf).any(-1, keepdim=True).to(kind)
    return found, kept.view(*lead, length, keys)


def _may_be_blind(mask: Tensor) -> bool:
    """Whether from one of the queries everything is hidden, or it is not known."""
    return _transformed() or not mask.shape[-1] or not bool((mask.detach().amax(-1) > -torch.inf).all())


def _in_full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Under autocast, too."""

    @wraps(function)
    def inner(*arguments: P.args, **options: P.kwargs) -> T:
        with torch.autocast("cpu", enabled=False):
            return function(*arguments, **options)

    return inner


@_in_full_precision
def _by_steps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    lead: Sequence[int],
    scale: float,
    dropout_p: float,
    left: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of (batch × heads, length, size), and its weights, by operations that can be differentiated as often as
    one likes; `left` says which weights dropout leaves. The `bias` may be spread over `lead`, batch and heads."""
    scores = torch.bmm(query * scale, key.transpose(1, 2))
    if bias is not None:
        scores = (scores.view(*lead, *scores.shape[1:]) + bias).view(scores.shape)
    weights = scores.softmax(-1)
    kept = F.dropout(weights, dropout_p) * (1 - dropout_p) if left is None else weights * left
    return torch.bmm(kept, value) * _up(dropout_p), kept


def _up(dropout_p: float) -> float:
    """What makes up for what is left out, but where that is everything."""
    return 1 / (1 - dropout_p) if dropout_p < 1 else 0.0


class _Attended(torch.autograd.Function):
    """What `_by_steps` computes, written over its own intermediate results, with less held for the way back: of dropout
    the weights that it leaves, and of the softmax's gradient what Dao et al. (2022, appendix B.2) make of it, each
    query's answer times its gradient. Not the weights are scaled up for those left out, but what is made of them."""

    @staticmethod
    @_in_full_precision
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        lead: Sequence[int],
        scale: float,
        dropout_p: float,
    ) -> tuple[Tensor, Tensor]:
        weights = _product(query, key.transpose(1, 2), scale)
        if bias is not None:
            weights.view(*lead, *weights.shape[1:]).add_(bias)
        torch.softmax(weights, -1, out=weights)
        kept = torch.empty_like(weights).bernoulli_(1 - dropout_p).mul_(weights) if dropout_p else weights
        found = _product(kept, value, _up(dropout_p))
        ctx.save_for_backward(query, key, value, weights, kept, found)
        ctx.mark_non_differentiable(kept)
        ctx.set_materialize_grads(False)  # of zeros, for what has no gradient
        ctx.scale, ctx.dropout_p = scale, dropout_p
        return found, kept

    @staticmethod
    @_in_full_precision
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, weights, kept, found = ctx.saved_tensors
        given, up = gradients[0], _up(ctx.dropout_p)
        of_query = of_key = of_value = None
        if given is None:
            return (None,) * 7
        if torch.is_grad_enabled():  # to be differentiated once more
            found = _again(query, key, value, weights, kept, ctx.scale, ctx.dropout_p)
            wanted = [each for each in (query, key, value) if each.requires_grad]
            made = iter(torch.autograd.grad(found, wanted, given, create_graph=True))
            return (*(next(made) if each.requires_grad else None for each in (query, key, value)), *[None] * 4)
        if ctx.needs_input_grad[2]:
            of_value = _product(kept.transpose(1, 2), given, up)
        if any(ctx.needs_input_grad[:2]):
            of_scores = _product(given, value.transpose(1, 2), up).mul_(kept)
            of_scores.addcmul_(weights, (given * found).sum(-1, keepdim=True), value=-1)
            if ctx.needs_input_grad[0]:
                of_query = _product(of_scores, key, ctx.scale)
            if ctx.needs_input_grad[1]:
                of_key = _product(of_scores.transpose(1, 2), query, ctx.scale)
        return of_query, of_key, of_value, None, None, None, None


def _again(
    query: Tensor, key: Tensor, value: Tensor, weights: Tensor, kept: Tensor, scale: float, dropout_p: float
) -> Tensor:
    """The answer that was found with these weights, by steps. What its mask was is seen from the weights: whoever gave
    it may have changed it since."""
    with torch.no_grad():
        hidden = weights.log() - torch.bmm(query * scale, key.transpose(1, 2))
    return _by_steps(query, key, value, hidden, hidden.shape[:1], scale, dropout_p, kept != 0)[0]


def _product(left: Tensor, right: Tensor, times: float) -> Tensor:
    """Of matrices (any, rows, inner) and (any, inner, columns), scaled."""
    return torch.baddbmm(left.new_empty(()), left, right, beta=0, alpha=times)


def _full(tensor: Tensor) -> Tensor:
    """In full precision, row after row; at least three dimensions."""
    kind = torch.float32 if tensor.dtype in (torch.bfloat16, torch.float16) else tensor.dtype
    strides = torch.empty(tensor.shape, device="meta").stride()
    moved = _moved(tensor, strides, kind)
    return moved if moved.dim() > 2 else moved[None]


def _side_by_side(tensor: Tensor, kind: torch.dtype) -> Tensor:
    """Of (…, heads, length, size), with the heads of a token beside each other in memory, as models put them next: what
    they make of it is a view."""
    strides = torch.empty(tensor.transpose(-3, -2).shape, device="meta").transpose(-3, -2).stride()
    return _moved(tensor, strides, kind)


def _moved(tensor: Tensor, strides: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """The same in another order in memory and another precision; its gradient is as it was, both in one pass."""
    if _transformed():
        return tensor.to(kind, memory_format=torch.contiguous_format)
    found: Tensor = _Moved.apply(tensor, strides, kind)  # type: ignore[no-untyped-call]
    return found


def _transformed() -> bool:
    """Whether within torch.func, whose transforms meet no function with a gradient of its own, and no values."""
    return torch._C._are_functorch_transforms_active()


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, strides: tuple[int, ...], kind: torch.dtype) -> Tensor:
        like = torch.empty_like(tensor, device="meta")
        ctx.strides, ctx.kind = like.stride(), tensor.dtype
        return tensor.new_empty_strided(tensor.shape, strides, dtype=kind).copy_(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        made = gradients[0].new_empty_strided(gradients[0].shape, ctx.strides, dtype=ctx.kind)
        return made.copy_(gradients[0]), None, None


def _causal(length: int, keys: int) -> Tensor:
    return torch.zeros(length, keys).masked_fill_(torch.ones(length, keys, dtype=torch.bool).triu(1), -torch.inf)


@dataclass(frozen=True)
class _Cast:
    """A tensor, as it was at a version of it and at a place in memory, and what was made of it in another precision."""

    of: Tensor
    version: int
    place: int
    made: Tensor

    @classmethod
    def make(cls, tensor: Tensor, kind: torch.dtype) -> _Cast:
        """Of the tensor as it is now."""
        return cls(tensor, tensor._version, tensor.data_ptr(), tensor.to(kind))

    def is_for(self, tensor: Tensor, kind: torch.dtype) -> bool:
        """Whether it can be had for one that would have to be made now."""
        return (
            self.of is tensor
            and self.version == tensor._version
            and self.place == tensor.data_ptr()
            and self.made.dtype == kind
            and self.made.requires_grad == (tensor.requires_grad and torch.is_grad_enabled())
        )


class _Kept:
    """What was made of weights within a scope; frozen ones are those of the `outer` scope, where there is one."""

    def __init__(self, trained: bool, outer: _Kept | None) -> None:
        self.trained = trained
        self.outer = outer
        self.casts: dict[int, _Cast] = {}

    def of(self, weight: Tensor, kind: torch.dtype) -> Tensor:
        """A weight in low precision, where it is to be kept, else as it is."""
        # No views and nothing computed, such as a weight with a sparse change: what they show may be written elsewhere.
        if type(weight) is not nn.Parameter or weight.dtype != torch.float32:
            return weight
        if not weight.requires_grad:
            if self.outer is not None:
                return self.outer.of(weight, kind)
        elif not self.trained or torch.is_grad_enabled():
            return weight
        cast = self.casts.get(id(weight))
        if cast is None or not cast.is_for(weight, kind):
            self.casts[id(weight)] = cast = _Cast.make(weight, kind)
        return cast.made


class _Linear:
    """Autocast's linear layer, of what it is now. Layers that read one tensor after another, as those of queries, keys
    and values and their adapters do, share what is made of it in low precision: their gradients are added up in that
    precision, too. It is held until another tensor is read, or autocast ends, as autocast's own are."""

    def __init__(self, original: Callable[..., Tensor]) -> None:
        self.original = original
        self.last: _Cast | None = None
        self.kept: _Kept | None = None

    def __call__(self, keys: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kind = torch.get_autocast_dtype("cpu")
        if kind == torch.float32 or torch.is_inference_mode_enabled():
            return self.original(keys, input, weight, bias)
        # Of parameters autocast keeps its own: an optimiser changes them without a new version.
        own = input.is_leaf and input.requires_grad
        if input.dtype == torch.float32 and not own:
            cast = self.last
            if cast is None or not cast.is_for(input, kind):
                self.last = cast = _Cast.make(input, kind)
            input = cast.made
        if self.kept is not None:
            weight, bias = self.kept.of(weight, kind), bias if bias is None else self.kept.of(bias, kind)
        return self.original(keys, input, weight, bias)

    def forget(self) -> None:
        """What is held."""
        self.last = None
