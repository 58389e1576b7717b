"""The kernels for dropout on a processor, against PyTorch's own, and against what chance gives."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from bench import kernels
from bench.measuring import count_flops

MILLION = 2**20


@pytest.mark.parametrize("p", [0.5, 0.9, 0.1, 0.01, 0.999, 1 / 3])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64, torch.bool, torch.int64])
def test_ones_are_as_many_as_asked_for(p: float, kind: torch.dtype) -> None:
    torch.manual_seed(1)
    drawn = kernels.bernoulli_(torch.empty(MILLION, dtype=kind), p).double()
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    spread = math.sqrt(p * (1 - p) / MILLION)
    assert abs(drawn.mean().item() - p) < 5 * spread
    # Numbers that come of one random word, or of neighbouring words, are no more alike than others.
    for lanes in (2, 4):
        assert all(abs(lane.mean().item() - p) < 5 * spread * math.sqrt(lanes) for lane in drawn.view(-1, lanes).T)
    for apart in (1, 2, 3, 4, 8):
        together = ((drawn[apart:] - p) * (drawn[:-apart] - p)).mean().item() / (p * (1 - p))
        assert abs(together) < 5 / math.sqrt(MILLION)


@pytest.mark.parametrize(("p", "expected"), [(2**-14, 64), (2**-17, 8)])
def test_what_is_rare_is_not_rounded_away(p: float, expected: int) -> None:
    torch.manual_seed(2)
    found = int(kernels.bernoulli_(torch.empty(MILLION), p).sum())
    assert abs(found - expected) < 5 * math.sqrt(expected)
    left = int((kernels.bernoulli_(torch.empty(MILLION), 1 - p) == 0).sum())
    assert abs(left - expected) < 5 * math.sqrt(expected)


def test_the_ends_are_certain() -> None:
    assert not kernels.bernoulli_(torch.ones(100), 0).any()
    assert kernels.bernoulli_(torch.zeros(100), 1).all()
    assert kernels.bernoulli_(torch.zeros(100), 1 - 1e-12).all()
    assert kernels.bernoulli_(torch.empty(0, 3), 0.5).shape == (0, 3)
    with pytest.raises(RuntimeError, match="probability"):
        kernels.bernoulli_(torch.empty(3), 1.5)


def test_a_seed_or_a_generator_says_which() -> None:
    def drawn(generator: torch.Generator | None = None) -> list[float]:
        return kernels.bernoulli_(torch.empty(3, 67).T, 0.4, generator=generator).tolist()

    torch.manual_seed(3)
    first, second = drawn(), drawn()
    torch.manual_seed(3)
    assert drawn() == first != second
    state = torch.get_rng_state()
    assert drawn(torch.Generator().manual_seed(3)) == first
    assert torch.equal(torch.get_rng_state(), state)


def _mask(heads: int, keys: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    hidden = torch.rand(2, heads, 5, keys, generator=generator) < 0.3
    hidden[:, :, 1] = True  # a query from which all is hidden
    return torch.randn(2, heads, 5, keys, generator=generator, dtype=torch.float64).masked_fill(hidden, -torch.inf)


def _inputs(length: int, keys: int, kind: torch.dtype, groups: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    # In memory heads come after the length, as models have them.
    shapes = (2, length, 3, 8), (2, keys, 3 // groups, 8), (2, keys, 3 // groups, 8)
    return [torch.randn(shape, generator=generator).to(kind).transpose(1, 2).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("heads", [0, 1, 3])
@pytest.mark.parametrize("keys", [5, 9])
@pytest.mark.parametrize(("kind", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("dropped", [False, True])
def test_attention_is_that_of_pytorch(heads: int, keys: int, kind: torch.dtype, within: float, dropped: bool) -> None:
    mask = _mask(heads, keys).to(kind) if heads else None
    options: dict[str, Any] = {"scale": 0.3}
    if dropped:
        kept = torch.rand(2, 3, 5, keys, generator=torch.Generator().manual_seed(6)) > 0.2
        options |= {"dropout_p": 0.2, "dropout_mask": kept}
    results = []
    for attend in (torch.ops.aten._scaled_dot_product_attention_math, kernels.attention):
        query, key, value = inputs = _inputs(5, keys, kind)
        found = attend(query, key, value, mask, **options)[0]
        weights = torch.arange(found.numel(), dtype=kind).view(found.shape) / found.numel()
        results.append((found, *torch.autograd.grad((found * weights).sum(), inputs)))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=within, rtol=within)


def test_attention_that_is_causal_or_has_groups_of_heads_is_that_of_pytorch() -> None:
    query, key, value = _inputs(6, 6, torch.float64)
    theirs = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(kernels.attention(query, key, value, is_causal=True)[0], theirs)
    query, key, value = _inputs(6, 6, torch.float64, groups=3)
    theirs = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(kernels.attention(query, key, value, enable_gqa=True)[0], theirs)


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8)),  # one query for all examples
        ((2, 1, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8)),
        ((2, 3, 5, 8), (1, 3, 7, 8), (2, 3, 7, 4)),
        ((5, 8), (7, 8), (7, 8)),
    ],
)
def test_attention_takes_what_may_be_spread_over_examples_or_heads(shapes: tuple[tuple[int, ...], ...]) -> None:
    generator = torch.Generator().manual_seed(8)
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    theirs = torch.ops.aten._scaled_dot_product_attention_math(query, key, value)[0]
    torch.testing.assert_close(kernels.attention(query, key, value)[0], theirs)


def test_attention_with_a_mask_is_not_causal_as_well() -> None:
    query, key, value = _inputs(5, 5, torch.float32)
    with pytest.raises(RuntimeError, match="not both"):
        kernels.attention(query, key, value, torch.zeros(5, 5), is_causal=True)


def test_dropout_leaves_out_weights_of_attention_and_makes_up_for_them() -> None:
    torch.manual_seed(7)
    query, key = torch.zeros(64, 4, 16, 8), torch.zeros(64, 4, 16, 8)
    found, weights = kernels.attention(query, key, torch.ones(64, 4, 16, 8), dropout_p=0.25)
    # All weights are 1/16, of which three in four are left, and count for 4/3.
    torch.testing.assert_close(weights.unique(), torch.tensor([0, 1 / 16]))
    assert (weights > 0).float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert found.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(found[..., 0], weights.sum(-1) * 4 / 3)
    assert not kernels.attention(query, key, torch.ones(64, 4, 16, 8), dropout_p=1.0)[0].any()


@pytest.mark.parametrize("heads", [0, 1, 3])
@pytest.mark.parametrize("frozen", [(), (0,), (1, 2)])
def test_attention_with_dropout_is_that_of_pytorch_for_what_was_left_out(heads: int, frozen: tuple[int, ...]) -> None:
    mask = _mask(heads, 9) if heads else None
    inputs = _inputs(5, 9, torch.float64)
    for index in frozen:
        inputs[index].requires_grad_(False)
    trained = [each for each in inputs if each.requires_grad]
    torch.manual_seed(9)
    ours, weights = kernels.attention(*inputs, mask, dropout_p=0.2)
    left = weights > 0
    if heads:
        left |= (torch.zeros_like(weights) + mask).isinf()
    assert 0 < left.double().mean() < 1
    theirs = torch.ops.aten._scaled_dot_product_attention_math(*inputs, mask, dropout_p=0.2, dropout_mask=left)[0]
    torch.testing.assert_close(ours, theirs)
    given = torch.randn(ours.shape, dtype=torch.float64)
    of_ours = torch.autograd.grad(ours, trained, given, create_graph=True)
    of_theirs = torch.autograd.grad(theirs, trained, given, create_graph=True)
    torch.testing.assert_close(of_ours, of_theirs)
    # And once more, of gradients that were computed on the way to others.
    twice = [torch.autograd.grad(sum(each.square().sum() for each in of), trained) for of in (of_ours, of_theirs)]
    torch.testing.assert_close(*twice)
    once = torch.autograd.grad(ours, trained, given)
    torch.testing.assert_close(once, of_theirs)


@pytest.mark.parametrize("once_more", [False, True])
def test_attention_and_the_way_back_are_in_full_precision_also_under_autocast(once_more: bool) -> None:
    torch.manual_seed(9)
    inputs = [torch.randn(2, 3, 7, 8, requires_grad=True) for _ in range(3)]
    left = torch.rand(2, 3, 7, 7) > 0.2

    def attended() -> tuple[torch.Tensor, ...]:
        found = kernels.attention(*inputs)[0]
        steps = kernels.attention(*inputs, dropout_p=0.2, dropout_mask=left)[0]
        return found, steps, *torch.autograd.grad(found.sum(), inputs, create_graph=once_more)

    outside = attended()
    with torch.autocast("cpu", torch.bfloat16):
        within = attended()
    torch.testing.assert_close(within, outside, rtol=0, atol=0)


@pytest.mark.parametrize("dropout_p", [0.0, 0.2])
def test_a_mask_that_changes_after_attention_changes_nothing(dropout_p: float) -> None:
    """As PyTorch's own, which has no need of it on the way back."""
    inputs, mask = _inputs(5, 9, torch.float64), torch.randn(2, 3, 5, 9, dtype=torch.float64)
    mask[..., 2] = -torch.inf
    grads = []
    for changed in (False, True):
        torch.manual_seed(9)
        found = kernels.attention(*inputs, mask, dropout_p=dropout_p)[0]
        if changed:
            mask.zero_()
        once = torch.autograd.grad(found.square().sum(), inputs, create_graph=True)
        grads.append((*once, *torch.autograd.grad(sum(each.square().sum() for each in once), inputs)))
    torch.testing.assert_close(*grads)


def test_a_mask_of_dropout_counts_where_there_is_dropout() -> None:
    inputs, left = _inputs(5, 9, torch.float64), torch.rand(2, 3, 5, 9) > 0.5
    for p in (0.0, 0.5):
        theirs = torch.ops.aten._scaled_dot_product_attention_math(*inputs, dropout_p=p, dropout_mask=left)[0]
        torch.testing.assert_close(kernels.attention(*inputs, dropout_p=p, dropout_mask=left)[0], theirs)


def test_gradients_for_several_losses_at_once_are_those_of_each() -> None:
    inputs = _inputs(5, 9, torch.float64)
    found = kernels.attention(*inputs, _mask(3, 9))[0]
    given = torch.randn(4, *found.shape, dtype=torch.float64)
    together = torch.autograd.grad(found, inputs, given, is_grads_batched=True, retain_graph=True)
    apart = [torch.autograd.grad(found, inputs, each, retain_graph=True) for each in given]
    for ours, theirs in zip(together, zip(*apart, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs))


def test_gradients_of_attention_are_those_of_its_differences() -> None:
    query, key, value = _inputs(5, 5, torch.float64)
    mask = _mask(1, 5)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return kernels.attention(query, key, value, mask)[0]

    assert torch.autograd.gradcheck(attend, (query, key, value))
    assert torch.autograd.gradgradcheck(attend, (query, key, value))


class Asked:
    """Stands for PyTorch's own layer: what it was given."""

    def __init__(self) -> None:
        self.given: list[torch.Tensor] = []
        self.layer = kernels._Linear(self)

    def __call__(self, _: Any, given: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        self.given.append(given)
        return F.linear(given, weight.to(given.dtype), bias)

    def read(self, tensor: torch.Tensor) -> torch.Tensor:
        """By a layer that returns what it is given, as it is given it."""
        return self.layer(None, tensor, torch.eye(tensor.shape[-1]))


def test_layers_that_read_one_tensor_share_what_is_made_of_it() -> None:
    asked, hidden, other = Asked(), torch.randn(3, 4, requires_grad=True) * 1, torch.randn(3, 4)
    sum(asked.read(hidden).float() for _ in range(3)).sum().backward()  # type: ignore[union-attr]
    assert asked.given[0] is asked.given[1] is asked.given[2]
    asked.read(other)
    asked.read(hidden)
    torch.testing.assert_close(asked.given[3], other.bfloat16())
    torch.testing.assert_close(asked.given[4], hidden.bfloat16())


def test_what_was_made_of_a_tensor_is_not_had_for_what_became_of_it() -> None:
    asked, hidden = Asked(), torch.ones(3, 4)
    assert asked.read(hidden).eq(1).all()
    hidden.mul_(2)
    assert asked.read(hidden).eq(2).all()
    # Nor, made without gradients, where they are asked for.
    parameter = torch.nn.Parameter(torch.ones(3, 4))
    hidden = parameter * 1
    with torch.no_grad():
        assert not asked.read(hidden).requires_grad
    asked.read(hidden).sum().backward()
    assert parameter.grad is not None and parameter.grad.eq(1).all()
    with torch.inference_mode():
        unversioned = torch.ones(3, 4)
        asked.read(unversioned)
        unversioned.mul_(3)
        assert asked.read(unversioned).eq(3).all()


def test_a_parameter_is_read_as_its_optimiser_left_it() -> None:
    """A fused one does not tell that it has changed it."""
    asked, parameter = Asked(), torch.nn.Parameter(torch.ones(3, 4))
    optimizer = torch.optim.SGD([parameter], lr=1.0, fused=True)
    for before in (1, 0, -1):
        found = asked.read(parameter)
        assert found.eq(before).all()
        found.sum().backward()
        optimizer.step()
        optimizer.zero_grad()


HELD = """
import weakref
import torch
from bench import kernels

kernels.use()
layer, first = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
with torch.autocast("cpu", torch.bfloat16):
    hidden = first(torch.ones(2, 4)).float()
    loss = layer(hidden).sum()
held = weakref.ref(hidden)
del loss, hidden
assert held() is None
"""


def test_nothing_is_held_once_autocast_has_ended() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", HELD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_attention_gives_may_be_changed() -> None:
    inputs = [torch.randn(2, 7, 8, requires_grad=True) for _ in range(3)]
    expected = torch.autograd.grad(2 * kernels.attention(*inputs)[0].sum(), inputs)
    found = kernels.attention(*inputs)[0]
    found *= 2
    torch.testing.assert_close(torch.autograd.grad(found.sum(), inputs), expected)


def test_what_attention_gives_is_laid_out_as_models_put_it_next_and_may_be_changed() -> None:
    for kind in (torch.float32, torch.bfloat16):
        query, key, value = _inputs(5, 7, kind)
        found = kernels.attention(query, key, value, dropout_p=0.1)[0]
        assert found.transpose(1, 2).is_contiguous()
        found *= 2
        found.sum().backward()
        assert query.grad is not None and query.grad.transpose(1, 2).is_contiguous()


def test_attention_can_be_transformed() -> None:
    query, key, value = (each.detach() for each in _inputs(5, 5, torch.float64))
    theirs = torch.ops.aten._scaled_dot_product_attention_math(query, key, value, _mask(1, 5))[0].sum(0)

    def attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return kernels.attention(query, key, value, mask)[0]

    torch.testing.assert_close(torch.vmap(attended)(query, key, value, _mask(1, 5)).sum(0), theirs)
    ours = torch.func.grad(lambda query: attended(query, key, value, _mask(1, 5)).sum())(query)
    query.requires_grad_()
    attended(query, key, value, _mask(1, 5)).sum().backward()
    torch.testing.assert_close(ours, query.grad)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.int64])
def test_a_tensor_that_autocast_leaves_as_it_is_is_left(kind: torch.dtype) -> None:
    asked, tensor = Asked(), torch.ones(3, 4, dtype=kind)
    asked.read(tensor)
    assert asked.given[0] is tensor


def read_by_three() -> tuple[torch.Tensor, ...]:
    """What three layers under autocast make of one tensor, and its gradient and theirs."""
    generator = torch.Generator().manual_seed(9)
    hidden, *weights = (torch.randn(16, 16, generator=generator).requires_grad_() for _ in range(4))
    with torch.autocast("cpu", torch.bfloat16):
        read = hidden * 2
        found = F.linear(F.linear(read, weights[0]).relu() + F.linear(read, weights[1]), weights[2])
    return found, *(each.float() for each in torch.autograd.grad(found.float().sum(), [hidden, *weights]))


def saved_by_two() -> int:
    """How many tensors two layers under autocast keep of one that they read, and of their weights."""
    hidden, *weights = (torch.ones(4, 4, requires_grad=True) for _ in range(3))
    saved: set[int] = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(pack, lambda each: each):
        read = hidden + 1
        alive = [F.linear(read, weight) for weight in weights]
    return len(saved) if alive else 0


IN_A_WORKER = """
import torch
from bench import kernels
from tests.bench.test_kernels import attended, flops_of_attention, read_by_three, saved_by_two

(theirs, before), flops, read = attended(), flops_of_attention(), read_by_three()
assert saved_by_two() == 4
own = kernels.bernoulli_(torch.empty(1000), 0.9, generator=torch.Generator().manual_seed(0))
kernels.use()
kernels.use()
torch.manual_seed(0)
assert torch.equal(torch.empty(1000).bernoulli_(0.9), own)
torch.manual_seed(0)
torch.testing.assert_close(torch.nn.functional.dropout(torch.ones(1000), 0.1), own / 0.9)
ours, after = attended()
torch.testing.assert_close(ours, theirs)
assert "aten.any.dim" in after - before, after  # by our kernel, which alone calls that
assert flops_of_attention() == flops == 3 * 2 * (2 * 3 * 5 * 7 * (8 + 8))
torch.testing.assert_close(read_by_three(), read, rtol=0.01, atol=0.3)  # of numbers up to 100, as bf16 has them
assert saved_by_two() == 3  # what both read once, and the weights of each
"""


def attended() -> tuple[torch.Tensor, set[str]]:
    """By the kernel that is not fused, of queries from some of which everything is hidden; and the operators that it
    took."""
    query, key, value = _inputs(5, 7, torch.float32)
    with sdpa_kernel(SDPBackend.MATH), LoggedOperators() as logged:
        return F.scaled_dot_product_attention(query, key, value, _mask(1, 7) > -torch.inf), logged.names


class LoggedOperators(TorchDispatchMode):
    """The names of all that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def flops_of_attention() -> int:
    """Of a forward and a backward pass with dropout, and a mask that asks for no gradient."""
    query, key, value = _inputs(5, 7, torch.float32)
    visible = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    return count_flops(
        lambda: F.scaled_dot_product_attention(query, key, value, visible, dropout_p=0.1).sum().backward()
    )


def test_a_process_that_uses_them_draws_by_them_and_counts_the_same_flops() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", IN_A_WORKER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
