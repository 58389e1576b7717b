"""The kernels for dropout and linear layers on a processor, against PyTorch's own, and against what chance gives."""

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
from tests.bench.test_attention import inputs_of, mask_of

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
torch.manual_seed(0)
plain = torch.empty(1000).bernoulli_(0.9)
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
torch.manual_seed(0)
drawn = torch.empty(1000).bernoulli_(0.9)
for _ in range(2):
    with kernels.aside():
        torch.manual_seed(0)
        assert torch.equal(torch.empty(1000).bernoulli_(0.9), plain)
        assert saved_by_two() == 4 and attended()[1] == before
    torch.manual_seed(0)
    assert torch.equal(torch.empty(1000).bernoulli_(0.9), drawn) and not torch.equal(drawn, plain)
    assert saved_by_two() == 3 and attended()[1] == after
"""


def attended() -> tuple[torch.Tensor, set[str]]:
    """By the kernel that is not fused, of queries from some of which everything is hidden; and the operators that it
    took."""
    query, key, value = inputs_of(5, 7, torch.float32)
    with sdpa_kernel(SDPBackend.MATH), LoggedOperators() as logged:
        return F.scaled_dot_product_attention(query, key, value, mask_of(1, 7) > -torch.inf), logged.names


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
    query, key, value = inputs_of(5, 7, torch.float32)
    visible = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    return count_flops(
        lambda: F.scaled_dot_product_attention(query, key, value, visible, dropout_p=0.1).sum().backward()
    )


def test_a_process_that_uses_them_draws_by_them_and_counts_the_same_flops() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", IN_A_WORKER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
