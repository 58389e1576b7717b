"""The kernel for attention on a processor, against PyTorch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bench import kernels


def mask_of(heads: int, keys: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    hidden = torch.rand(2, heads, 5, keys, generator=generator) < 0.3
    hidden[:, :, 1] = True  # a query from which all is hidden
    return torch.randn(2, heads, 5, keys, generator=generator, dtype=torch.float64).masked_fill(hidden, -torch.inf)


def inputs_of(length: int, keys: int, kind: torch.dtype, groups: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    # In memory heads come after the length, as models have them.
    shapes = (2, length, 3, 8), (2, keys, 3 // groups, 8), (2, keys, 3 // groups, 8)
    return [torch.randn(shape, generator=generator).to(kind).transpose(1, 2).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("heads", [0, 1, 3])
@pytest.mark.parametrize("keys", [5, 9])
@pytest.mark.parametrize(("kind", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("dropped", [False, True])
def test_attention_is_that_of_pytorch(heads: int, keys: int, kind: torch.dtype, within: float, dropped: bool) -> None:
    mask = mask_of(heads, keys).to(kind) if heads else None
    options: dict[str, Any] = {"scale": 0.3}
    if dropped:
        kept = torch.rand(2, 3, 5, keys, generator=torch.Generator().manual_seed(6)) > 0.2
        options |= {"dropout_p": 0.2, "dropout_mask": kept}
    results = []
    for attend in (torch.ops.aten._scaled_dot_product_attention_math, kernels.attention):
        query, key, value = inputs = inputs_of(5, keys, kind)
        found = attend(query, key, value, mask, **options)[0]
        weights = torch.arange(found.numel(), dtype=kind).view(found.shape) / found.numel()
        results.append((found, *torch.autograd.grad((found * weights).sum(), inputs)))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=within, rtol=within)


def test_attention_that_is_causal_or_has_groups_of_heads_is_that_of_pytorch() -> None:
    query, key, value = inputs_of(6, 6, torch.float64)
    theirs = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(kernels.attention(query, key, value, is_causal=True)[0], theirs)
    query, key, value = inputs_of(6, 6, torch.float64, groups=3)
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
    query, key, value = inputs_of(5, 5, torch.float32)
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
    mask = mask_of(heads, 9) if heads else None
    inputs = inputs_of(5, 9, torch.float64)
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
    inputs, mask = inputs_of(5, 9, torch.float64), torch.randn(2, 3, 5, 9, dtype=torch.float64)
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
    inputs, left = inputs_of(5, 9, torch.float64), torch.rand(2, 3, 5, 9) > 0.5
    for p in (0.0, 0.5):
        theirs = torch.ops.aten._scaled_dot_product_attention_math(*inputs, dropout_p=p, dropout_mask=left)[0]
        torch.testing.assert_close(kernels.attention(*inputs, dropout_p=p, dropout_mask=left)[0], theirs)


def test_gradients_for_several_losses_at_once_are_those_of_each() -> None:
    inputs = inputs_of(5, 9, torch.float64)
    found = kernels.attention(*inputs, mask_of(3, 9))[0]
    given = torch.randn(4, *found.shape, dtype=torch.float64)
    together = torch.autograd.grad(found, inputs, given, is_grads_batched=True, retain_graph=True)
    apart = [torch.autograd.grad(found, inputs, each, retain_graph=True) for each in given]
    for ours, theirs in zip(together, zip(*apart, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs))


def test_gradients_of_several_gradients_at_once_are_those_of_each() -> None:
    inputs, mask = inputs_of(5, 9, torch.float64), mask_of(3, 9)

    def loss(query: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = kernels.attention(query, *inputs[1:], mask)[0].square().sum()
        return found

    together = torch.autograd.functional.hessian(loss, inputs[0], vectorize=True)
    torch.testing.assert_close(together, torch.autograd.functional.hessian(loss, inputs[0]))


def test_gradients_of_attention_are_those_of_its_differences() -> None:
    query, key, value = inputs_of(5, 5, torch.float64)
    mask = mask_of(1, 5)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return kernels.attention(query, key, value, mask)[0]

    assert torch.autograd.gradcheck(attend, (query, key, value))
    assert torch.autograd.gradgradcheck(attend, (query, key, value))


def test_what_attention_gives_may_be_changed() -> None:
    inputs = [torch.randn(2, 7, 8, requires_grad=True) for _ in range(3)]
    expected = torch.autograd.grad(2 * kernels.attention(*inputs)[0].sum(), inputs)
    found = kernels.attention(*inputs)[0]
    found *= 2
    torch.testing.assert_close(torch.autograd.grad(found.sum(), inputs), expected)


def test_what_attention_gives_is_laid_out_as_models_put_it_next_and_may_be_changed() -> None:
    for kind in (torch.float32, torch.bfloat16):
        query, key, value = inputs_of(5, 7, kind)
        found = kernels.attention(query, key, value, dropout_p=0.1)[0]
        assert found.transpose(1, 2).is_contiguous()
        found *= 2
        found.sum().backward()
        assert query.grad is not None and query.grad.transpose(1, 2).is_contiguous()


def test_attention_can_be_transformed() -> None:
    query, key, value = (each.detach() for each in inputs_of(5, 5, torch.float64))
    theirs = torch.ops.aten._scaled_dot_product_attention_math(query, key, value, mask_of(1, 5))[0].sum(0)

    def attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return kernels.attention(query, key, value, mask)[0]

    torch.testing.assert_close(torch.vmap(attended)(query, key, value, mask_of(1, 5)).sum(0), theirs)
    ours = torch.func.grad(lambda query: attended(query, key, value, mask_of(1, 5)).sum())(query)
    query.requires_grad_()
    attended(query, key, value, mask_of(1, 5)).sum().backward()
    torch.testing.assert_close(ours, query.grad)
