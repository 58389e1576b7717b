"""The sparse family against dense references, and the baseline of the top layers."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from methods.anatomy import Anatomy
from methods.baselines.top_layers import TopLayers
from methods.composition.parameters import add_states, random_entries, sparse_deltas
from methods.sparse.diff_pruning import DiffPruning, GatedChange
from methods.sparse.fish_mask import FishMask
from methods.sparse.layernorm import LayerNormTuning
from methods.sparse.lt_sft import LTSFT
from methods.sparse.random_mask import RandomMask
from methods.sparse.spiel import SpIEL
from tests.methods.dense import (
    SHARED,
    candidates,
    dense_gradients,
    loss_of,
    run_phase,
    top_mask,
)
from tests.methods.test_methods import BASE, LARGE, real_shape
from tests.methods.tiny import (
    ARCHITECTURES,
    TASK,
    adapt,
    adapter_size,
    batch,
    head_of,
    logits,
    perturb,
    tiny,
    trainable,
)

BERT_BASE = 109_482_240
BERT_BASE_NORMS = 25 * 2 * 768


@pytest.mark.parametrize(
    ("method", "shape", "count"),
    [
        # Two norms in each of 24 layers and one after the embeddings: Qi et al. print 0.03 % of BERT-large.
        (LayerNormTuning(), LARGE, 49 * 2 * 1024),
        # A layer of BERT-base: four square projections, two of the inner size, biases, two norms.
        (TopLayers(layers=3), BASE, 3 * (4 * (768**2 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768)),
        (RandomMask(density=0.005), BASE, int(0.005 * (BERT_BASE - BERT_BASE_NORMS))),
        (SpIEL(density=0.01), BASE, 12 * (4 * int(0.01 * 768**2) + 2 * int(0.01 * 768 * 3072))),
        # While it searches, a difference and a gate for every entry.
        (DiffPruning(), BASE, 2 * (BERT_BASE - BERT_BASE_NORMS)),
    ],
)
def test_parameter_counts(method, shape, count):
    anatomy = real_shape("bert", **shape)
    assert shape is not BASE or anatomy.num_backbone_parameters == BERT_BASE
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


def test_norms_are_three_parameters_in_ten_thousand_of_bert_large():
    anatomy = real_shape("bert", **LARGE)
    LayerNormTuning().adapt(anatomy, TASK)
    assert round(100 * adapter_size(anatomy) / anatomy.num_backbone_parameters, 2) == 0.03


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_norm_is_trained_and_nothing_else(architecture):
    model = tiny(architecture)
    anatomy = adapt(LayerNormTuning(), model)
    backbone = {name for name, _ in model.named_parameters()} - anatomy.head
    assert set(trainable(model)) - anatomy.head == backbone - set(candidates(architecture))


@pytest.mark.parametrize(
    ("architecture", "layers", "prefixes"),
    [
        ("bert", 1, ("bert.encoder.layer.1.",)),
        ("bert", 2, ("bert.encoder.layer.",)),
        ("gpt2", 1, ("transformer.h.1.",)),
        ("albert", 1, ("albert.encoder.albert_layer_groups.0.albert_layers.0.",)),
        ("t5", 1, ("transformer.decoder.block.1.",)),
        ("bart", 2, ("model.decoder.layers.",)),
    ],
)
def test_the_top_layers_are_trained(architecture, layers, prefixes):
    model = tiny(architecture)
    anatomy = adapt(TopLayers(layers=layers), model)
    expected = {name for name, _ in model.named_parameters() if name.startswith(prefixes)}
    assert set(trainable(model)) - anatomy.head == expected
    assert expected


@pytest.mark.parametrize(("architecture", "there"), [("bert", 2), ("albert", 1), ("t5", 2), ("bart", 2)])
def test_more_layers_than_there_are_is_refused(architecture, there):
    anatomy = Anatomy(model := tiny(architecture), head_of(model))
    assert TopLayers(layers=there).out_of_range(anatomy) is None
    assert f"it takes 1 to {there}" in (TopLayers(layers=there + 1).out_of_range(anatomy) or "")


@pytest.mark.parametrize("architecture", SHARED)
def test_the_gradient_of_a_sparse_value_is_that_of_its_entry_wherever_the_weight_is_used(architecture):
    anatomy = adapt(RandomMask(density=0.1), tiny(architecture))
    loss_of(anatomy.model, architecture, seed=0).backward()
    dense = dense_gradients(architecture, seed=0)
    deltas = sparse_deltas(anatomy.model)
    assert set(deltas) <= set(candidates(architecture)) and len(deltas) > len(candidates(architecture)) / 2
    for name, delta in deltas.items():
        torch.testing.assert_close(delta.values.grad, dense[name].flatten()[delta.indices], msg=name)


@pytest.mark.parametrize("architecture", SHARED)
def test_sparse_values_are_added_wherever_the_weight_is_used(architecture):
    anatomy = adapt(RandomMask(density=0.1), tiny(architecture))
    perturb((name, p) for name, p in trainable(anatomy.model).items() if name not in anatomy.head)
    dense = tiny(architecture)
    parameters = dict(dense.named_parameters())
    with torch.no_grad():
        for name, delta in sparse_deltas(anatomy.model).items():
            parameters[name].view(-1)[delta.indices.long()] += delta.values
    torch.testing.assert_close(
        logits(anatomy.model, batch(architecture)), logits(dense, batch(architecture)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("total", "count"), [(6, 2), (5, 4)])
def test_every_choice_of_random_entries_is_equally_likely(total, count):
    torch.manual_seed(0)
    draws = Counter(tuple(random_entries(total, count).tolist()) for _ in range(6000))
    choices = math.comb(total, count)
    assert len(draws) == choices
    assert all(len(set(draw)) == count and max(draw) < total for draw in draws)
    expected = 6000 / choices
    # Five standard deviations.
    assert all(abs(seen - expected) < 5 * math.sqrt(expected) for seen in draws.values())


def test_a_random_mask_draws_from_what_lt_sft_chooses_from():
    anatomy = adapt(RandomMask(density=1.0), tiny("bert"))
    everything = candidates("bert")
    deltas = sparse_deltas(anatomy.model)
    assert {name: delta.values.numel() for name, delta in deltas.items()} == {
        name: value.numel() for name, value in everything.items()
    }
    lottery = Anatomy(model := tiny("bert"), head_of(model))
    LTSFT().adapt(lottery, TASK)
    assert set(trainable(model)) - lottery.head == set(everything)


def test_random_masks_differ_from_seed_to_seed_only():
    def mask(seed: int) -> dict[str, list[int]]:
        model = tiny("bert")
        torch.manual_seed(seed)
        return {n: d.indices.tolist() for n, d in sparse_deltas(adapt(RandomMask(), model).model).items()}

    assert mask(1) == mask(1) != mask(2)


@pytest.mark.parametrize("architecture", SHARED)
def test_a_fish_mask_holds_the_entries_of_largest_summed_squared_gradient(architecture):
    method, anatomy = FishMask(density=0.02), Anatomy(model := tiny(architecture), head_of(model))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    method.adapt(anatomy, TASK)
    optimizer = run_phase(method, anatomy, 0, steps=3)
    # Nothing was changed, and the optimiser keeps something for the head alone.
    assert all(torch.equal(p, start[name]) for name, p in model.named_parameters())
    assert {id(p) for p in optimizer.state} == {id(p) for n, p in model.named_parameters() if n in anatomy.head}

    method.on_phase(anatomy, method.phases()[1], 3)
    gradients = [dense_gradients(architecture, seed) for seed in (1, 2, 3)]
    scores = {name: sum(each[name] ** 2 for each in gradients) for name in candidates(architecture)}
    count = int(0.02 * sum(score.numel() for score in scores.values()))
    expected = top_mask(scores, count)
    deltas = sparse_deltas(model)
    assert adapter_size(anatomy) == count
    assert set(deltas) == {name for name, mask in expected.items() if mask.any()}
    # Entries at the threshold may fall on either side by rounding.
    differing = sum((~expected[name].flatten()[delta.indices.long()]).sum().item() for name, delta in deltas.items())
    assert differing <= 2
    assert not hasattr(model, "fisher")


def test_a_fish_mask_no_longer_takes_gradients_away_once_it_is_chosen():
    anatomy = adapt(FishMask(density=0.0001), tiny("bert"))
    untouched = candidates("bert").keys() - sparse_deltas(anatomy.model).keys()
    parameters = dict(anatomy.model.named_parameters())
    name = min(name for name in untouched if name.endswith("dense.weight"))
    parameters[name].requires_grad_(True)
    loss_of(anatomy.model, "bert", seed=0).backward()
    assert parameters[name].grad is not None


def test_gates_compute_the_stretched_concrete_distribution_with_the_gradients_of_autograd():
    torch.manual_seed(0)
    weight = torch.randn(40, 30)
    gated = GatedChange(weight).train()
    with torch.no_grad():
        gated.change.normal_()
        gated.alpha.normal_(0, 3)
    w, alpha = (p.detach().clone().requires_grad_(True) for p in (gated.change, gated.alpha))
    torch.manual_seed(7)
    found = gated(weight)
    torch.manual_seed(7)
    u = torch.rand(40, 30)
    s = torch.sigmoid(u.log() - (1 - u).log() + alpha)
    z = torch.clamp(s * 3.0 - 1.5, min=0.0, max=1.0)
    expected = weight + z * w
    torch.testing.assert_close(found, expected)
    assert (z == 0).any() and (z == 1).any() and ((z > 0) & (z < 1)).any()
    probe = torch.randn(40, 30)
    (found * probe).sum().backward()
    (expected * probe).sum().backward()
    torch.testing.assert_close(gated.change.grad, w.grad)
    torch.testing.assert_close(gated.alpha.grad, alpha.grad)

    gated.eval()
    still = torch.clamp(alpha.sigmoid() * 3.0 - 1.5, 0.0, 1.0)
    torch.testing.assert_close(gated(weight), weight + still * w)
    torch.testing.assert_close(gated.difference(), (still * w).detach())


def test_the_penalty_is_the_gradient_of_the_share_of_gates_that_are_open():
    torch.manual_seed(0)
    alphas = torch.linspace(-3, 3, 7)
    gated = GatedChange(torch.zeros(20000, 7)).train()
    with torch.no_grad():
        gated.change.fill_(1.0)
        gated.alpha.copy_(alphas.expand(20000, 7))
        open_share = (gated(torch.zeros(20000, 7)) != 0).double().mean(0)
    likely = torch.sigmoid(alphas - math.log(1.5 / 1.5))
    torch.testing.assert_close(open_share.float(), likely, rtol=0, atol=0.02)

    reference = gated.alpha.detach().clone().requires_grad_(True)
    (0.3 * torch.sigmoid(reference).sum()).backward()
    gated.add_penalty_gradient(0.3)
    torch.testing.assert_close(gated.alpha.grad, reference.grad)
    gated.add_penalty_gradient(0.3)
    torch.testing.assert_close(gated.alpha.grad, 2 * reference.grad)


@pytest.mark.parametrize("architecture", SHARED)
def test_diff_pruning_keeps_the_largest_differences_with_their_values(architecture):
    method, anatomy = DiffPruning(density=0.05), Anatomy(model := tiny(architecture), head_of(model))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    method.adapt(anatomy, TASK)
    torch.testing.assert_close(logits(model, batch(architecture)), logits(tiny(architecture), batch(architecture)))
    gated = {name: m for name, m in model.named_modules() if isinstance(m, GatedChange)}
    differences = {}
    with torch.no_grad():
        for name, each in gated.items():
            each.change.normal_(0, 0.1)
            each.alpha.normal_(0, 3)
            path, _, attribute = name.removesuffix(".0").rpartition(".parametrizations.")
            z = (each.alpha.sigmoid() * 3.0 - 1.5).clamp(0, 1)
            differences[f"{path}.{attribute}"] = z * each.change
    assert set(differences) == set(candidates(architecture))
    dense = tiny(architecture)
    with torch.no_grad():
        for name, p in dense.named_parameters():
            p += differences.get(name, torch.zeros(()))
    torch.testing.assert_close(
        logits(model, batch(architecture)), logits(dense, batch(architecture)), rtol=0, atol=1e-5
    )

    method.on_phase(anatomy, method.phases()[1], 1)
    count = int(0.05 * sum(each.numel() for each in differences.values()))
    assert adapter_size(anatomy) == count
    kept = top_mask({name: each.abs() for name, each in differences.items()}, count)
    assert method.merge(model)
    for name, p in model.named_parameters():
        expected = start[name] + kept[name] * differences[name] if name in kept else start[name]
        torch.testing.assert_close(p.detach(), expected, msg=name)


def test_the_search_of_diff_pruning_closes_gates_under_a_strong_penalty():
    def open_gates(penalty: float) -> float:
        method = DiffPruning(density=0.05, gate_lr=0.5, penalty=penalty)
        anatomy = Anatomy(model := tiny("bert"), head_of(model))
        method.adapt(anatomy, TASK)
        model.train()
        optimizer = run_phase(method, anatomy, 0, steps=12, lr=1e-3)
        assert sorted(group["lr"] for group in optimizer.param_groups) == [1e-3, 0.5]
        alphas = torch.cat([m.alpha.flatten() for m in model.modules() if isinstance(m, GatedChange)])
        return (alphas > 0).float().mean().item()

    assert open_gates(1.0) < 0.1 < 0.9 < open_gates(0.0)


@pytest.mark.parametrize("architecture", SHARED)
def test_sparse_differences_add_up_as_dense_ones_do(architecture):
    base = {name: p.detach() for name, p in tiny(architecture).named_parameters()}
    states, merged = [], []
    for seed in (1, 2):
        model = tiny(architecture)
        torch.manual_seed(seed)
        method = RandomMask(density=0.3)
        adapt(method, model)
        perturb(trainable(model).items())
        states.append({key: value.clone() for key, value in method.state(model).items()})
        assert method.merge(model)
        merged.append({name: p.detach() for name, p in model.named_parameters()})
    shared = [
        set(states[0][key].tolist()) & set(states[1][key].tolist())
        for key in states[0].keys() & states[1].keys()
        if key.endswith(".indices")
    ]
    assert any(shared)

    model = tiny(architecture)
    anatomy = adapt(method, model)
    method.load_state(model, add_states(*states))
    assert method.merge(model)
    for name, parameter in model.named_parameters():
        expected = merged[1][name] if name in anatomy.head else merged[0][name] + merged[1][name] - base[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("method", [FishMask(density=0.05), RandomMask(density=0.05), SpIEL(density=0.05)])
def test_optimiser_state_grows_with_the_number_of_entries(method):
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    method.adapt(anatomy, TASK)
    phases = method.phases()
    for index in range(len(phases)):
        optimizer = run_phase(method, anatomy, index, steps=2)
    kept = sum(t.numel() for state in optimizer.state.values() for name, t in state.items() if name != "step")
    assert kept == 2 * sum(p.numel() for p in trainable(model).values())
    assert kept < 0.15 * anatomy.num_backbone_parameters


@pytest.mark.parametrize(("name", "method"), [("fish", FishMask), ("diff", DiffPruning)])
def test_phases_share_the_budget(name, method):
    first, second = method().phases()
    assert first.share + second.share == 1
    assert first.lr_scale == (0 if name == "fish" else 1) and second.lr_scale == 1
