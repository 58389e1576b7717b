"""SpIEL's exchange of entries against dense computations by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from methods.anatomy import Anatomy
from methods.composition.parameters import sparse_deltas
from methods.sparse.spiel import SpIEL
from tests.methods.dense import (
    SHARED,
    dense_gradients,
    run_phase,
    values_of,
)
from tests.methods.tiny import (
    TASK,
    head_of,
    tiny,
)


def exchange_by_hand(
    indices: list[int], values: Tensor, gradients: list[Tensor], count: int
) -> tuple[set[int], set[int]]:
    """Which entries are dropped and grown, by dense arithmetic."""
    first = gradients[0].flatten().abs()
    pool = first.topk(len(indices)).indices.tolist()
    total = sum(gradients).flatten()
    dropped = {indices[i] for i in values.abs().sort().indices.tolist()[:count]}
    staying = set(indices) - dropped
    grown = sorted((c for c in pool if c not in staying), key=lambda c: -abs(total[c].item()))[:count]
    return dropped - set(grown), set(grown) - dropped


@pytest.mark.parametrize("architecture", SHARED)
def test_spiel_exchanges_entries_as_dense_arithmetic_does(architecture):
    """Over three exchanges with training between them; what it needs of dense gradients is recomputed by autograd on
    a plain model that has the weights of the moment."""
    last_values: dict[str, Tensor] = {}

    class Looked(SpIEL):
        def after_step(self, anatomy, step, optimizer):
            last_values.update({name: delta.values.detach().clone() for name, delta in deltas.items()})
            super().after_step(anatomy, step, optimizer)

    method = Looked(density=0.05, every=4, accumulate=2, rate=0.5)
    anatomy = Anatomy(model := tiny(architecture), head_of(model))
    names = [name for name, _ in model.named_parameters()]
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    method.adapt(anatomy, TASK)
    deltas = sparse_deltas(model)
    sizes = {name: delta.values.numel() for name, delta in deltas.items()}
    before, seen, exchanged = {}, {}, Counter()

    def watch(number: int) -> None:
        if number in (3, 7, 11):  # steps 1-2, 5-6 and 9-10 accumulated
            share = 1.0 if number == 3 else 0.5 * (1 - (number - 1) / 12)
            for name, delta in deltas.items():
                old, new = before[name], set(delta.indices.tolist())
                gone = set(old) - new
                assert len(new) == sizes[name]
                exchanged[number] += len(gone)
                assert len(gone) <= int(share * sizes[name])
                values = dict(zip(delta.indices.tolist(), delta.values.tolist(), strict=True))
                assert all(values[i] == 0 for i in new - set(old))
                weight = values_of(model, [name])[name].flatten()
                for i in gone:
                    assert weight[i] == start[name].flatten()[i]
                if architecture != "albert":  # whose candidates come from the gradient of one use of three
                    dropped, grown = exchange_by_hand(
                        old, last_values[name], [g[name] for g in seen[number]], int(share * sizes[name])
                    )
                    assert len(new - set(old) - grown) <= 1, name  # by rounding at the threshold
                    assert len(gone - dropped) <= 1, name
        before.update({name: delta.indices.tolist() for name, delta in deltas.items()})
        if number in (1, 2, 5, 6, 9, 10):
            target = {1: 3, 2: 3, 5: 7, 6: 7, 9: 11, 10: 11}[number]
            seen.setdefault(target, []).append(dense_gradients(architecture, number, values_of(model, names)))

    optimizer = run_phase(method, anatomy, 0, steps=12, lr=1e-3, watch=watch)
    k = sum(sizes.values())
    assert exchanged[3] > 0.8 * k  # the first exchange concerns all of them
    assert 0 < exchanged[11] < exchanged[7] <= 0.25 * k
    kept = sum(each.numel() for state in optimizer.state.values() for name, each in state.items() if name != "step")
    head = sum(p.numel() for name, p in model.named_parameters() if name in anatomy.head)
    assert kept == 2 * (k + head)
    for name in sizes:
        assert len(set(deltas[name].indices.tolist())) == sizes[name]

    # Nothing but the entries that are there now is left changed.
    expected = {name: start[name].clone() for name in sizes}
    for name, delta in deltas.items():
        expected[name].view(-1)[delta.indices.long()] += delta.values.detach()
    assert method.merge(model)
    for name, parameter in model.named_parameters():
        if name not in anatomy.head:
            torch.testing.assert_close(parameter.detach(), expected.get(name, start[name]), msg=name)


def test_spiel_gives_new_entries_the_moments_of_the_gradients_accumulated_for_them():
    method = SpIEL(density=0.05, every=4, accumulate=3)
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    method.adapt(anatomy, TASK)
    # Without a learning rate every gradient is that of the start.
    optimizer = run_phase(method, anatomy, 0, steps=3, lr=0.0)
    gradients = [dense_gradients("bert", seed) for seed in (1, 2, 3)]
    for name, delta in sparse_deltas(model).items():
        at = delta.indices.long()
        found = [g[name].flatten()[at] for g in gradients]
        mean, square = sum(found) / 3, sum(g**2 for g in found) / 3
        state = optimizer.state[delta.values]
        fresh = torch.isclose(state["exp_avg_sq"], square * (1 - 0.999**3), rtol=1e-3, atol=0)
        close = torch.isclose(state["exp_avg"], mean * (1 - 0.9**3), rtol=1e-3, atol=1e-9)
        assert (fresh & close).float().mean() > 0.8, name


def test_spiel_may_accumulate_over_the_whole_of_an_interval():
    method = SpIEL(density=0.05, every=2, accumulate=2)
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    method.adapt(anatomy, TASK)
    masks = []

    def watch(number: int) -> None:
        masks.append({name: set(delta.indices.tolist()) for name, delta in sparse_deltas(model).items()})

    run_phase(method, anatomy, 0, steps=6, watch=watch)
    changed = [a != b for a, b in pairwise(masks)]
    assert changed == [False, True, False, True, False]
