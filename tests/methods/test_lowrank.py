"""Methods of low rank against dense computations by hand, and against the counts that papers print."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from methods.lowrank.adalora import AdaLoRA, remaining
from methods.lowrank.dora import DoRA
from methods.lowrank.lora import LoRA
from methods.lowrank.pissa import PiSSA
from methods.lowrank.qlora import QLoRA
from methods.lowrank.vera import VeRA
from tests.methods.test_methods import BASE, LARGE, ROBERTA, real_shape
from tests.methods.tiny import TASK, adapt, adapter_size, batch, logits, perturb, tiny, trainable

DEBERTA_XXL = {
    "hidden_size": 1536, "num_hidden_layers": 48, "num_attention_heads": 24, "intermediate_size": 6144,
    "vocab_size": 128100, "relative_attention": True, "position_buckets": 256, "pos_att_type": ["c2p", "p2c"],
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0,
}  # fmt: skip
LLAMA_3_8B = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256,
}  # fmt: skip
GPT3 = {"n_embd": 12288, "n_layer": 96, "n_head": 96, "n_positions": 2048}


@pytest.mark.parametrize(
    ("method", "shape", "count"),
    [
        # Hu et al., tables 2, 3 and 4: 0.3 M, 0.8 M, 4.7 M, 0.35 M, 0.77 M, 4.7 M.
        (LoRA(rank=8), ("roberta", BASE | ROBERTA), 294_912),
        (LoRA(rank=8), ("roberta", LARGE | ROBERTA), 786_432),
        (LoRA(rank=16), ("deberta-v2", DEBERTA_XXL), 4_718_592),
        (LoRA(rank=4), ("gpt2", {"n_embd": 1024, "n_layer": 24, "n_head": 16}), 393_216),
        (LoRA(rank=4), ("gpt2", {"n_embd": 1280, "n_layer": 36, "n_head": 20}), 737_280),
        (LoRA(rank=1), ("gpt2", GPT3), 4_718_592),
        # Grouped-query attention: the value projection is narrower.
        (LoRA(rank=8), ("llama", LLAMA_3_8B), 32 * (8 * (4096 + 4096) + 8 * (4096 + 1024))),
        # Kopiczko et al.: 0.043 M for RoBERTa-base, 0.061 M for RoBERTa-large.
        (VeRA(rank=1024), ("roberta", BASE | ROBERTA), 43_008),
        (VeRA(rank=256), ("roberta", LARGE | ROBERTA), 61_440),
        # As many of the random matrices' rows as before, and the outputs of queries and of fewer values.
        (VeRA(rank=256), ("llama", LLAMA_3_8B), 32 * (2 * 256 + 4096 + 1024)),
        (DoRA(rank=8), ("llama", LLAMA_3_8B), 3_407_872 + 32 * (4096 + 1024)),
        (AdaLoRA(rank=8), ("llama", LLAMA_3_8B), 32 * 12 * (4096 + 4096 + 1 + 4096 + 1024 + 1)),
        # A magnitude for every output, beside LoRA's.
        (DoRA(rank=8), ("roberta", BASE | ROBERTA), 294_912 + 12 * 2 * 768),
        (PiSSA(rank=8), ("roberta", BASE | ROBERTA), 294_912),
        # Half as many triplets again while training, with a value each.
        (AdaLoRA(rank=8), ("roberta", BASE | ROBERTA), 12 * 2 * 12 * (768 + 768 + 1)),
        # Every projection of a layer.
        (QLoRA(rank=8), ("bert", BASE), 12 * 8 * (4 * (768 + 768) + 2 * (768 + 3072))),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_papers(method, shape, count):
    anatomy = real_shape(shape[0], **shape[1])
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


T5 = {
    "vocab_size": 32128, "d_model": 64, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3,
    "num_heads": 4, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
GROUPED = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 12,
    "intermediate_size": 96, "vocab_size": 99, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(("architecture", "shape", "names"), [
    ("qwen3", GROUPED, {"query": "q_proj", "key": "k_proj", "value": "v_proj"}),
    ("llama", GROUPED, {"query": "q_proj", "attention_output": "o_proj", "ffn_in": "up_proj", "ffn_gate": "gate_proj"}),
    # Where a decoder attends to its encoder as well, in as many layers as the decoder has.
    ("t5", T5, {"query": "q", "value": "v"}),
    ("t5", T5, {"key": "k", "attention_output": "o", "ffn_out": "wo"}),
])  # fmt: skip
@pytest.mark.parametrize("name", ["lora", "dora", "adalora", "vera"])
def test_counts_are_those_of_peft_where_keys_are_few_and_where_there_is_an_encoder(name, architecture, shape, names):
    peft = pytest.importorskip("peft")
    steps = {"total_step": 9, "tinit": 1, "tfinal": 1}
    ours, theirs = {
        "lora": (LoRA, lambda **to: peft.LoraConfig(r=4, **to)),
        "dora": (DoRA, lambda **to: peft.LoraConfig(r=4, use_dora=True, **to)),
        "adalora": (
            AdaLoRA,
            lambda **to: peft.AdaLoraConfig(init_r=6, target_r=4, **steps, **to),
        ),
        "vera": (VeRA, lambda **to: peft.VeraConfig(r=4, **to)),
    }[name]
    anatomy = real_shape(architecture, **shape)
    ours(rank=4, targets=tuple(names)).adapt(anatomy, TASK)
    plain = real_shape(architecture, **shape)
    adapted = peft.get_peft_model(plain.model.to_empty(device="cpu"), theirs(target_modules=[*names.values()]))
    expected = sum(p.numel() for n, p in adapted.named_parameters() if p.requires_grad and "ranknum" not in n)
    assert adapter_size(anatomy) == expected


def test_a_row_of_zeros_is_no_nan_under_dora():
    """As pruned models have: the row has no direction, stays as it is, and the others learn."""
    model = tiny("bert")
    weight = model.base_model.encoder.layer[0].attention.self.query.weight
    weight.data[3] = 0
    before = logits(model, batch())
    anatomy = adapt(DoRA(rank=2), model)
    torch.testing.assert_close(logits(model, batch()), before, rtol=0, atol=1e-5)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch(), labels=torch.tensor([0, 1, 2])).loss.backward()
        assert all(p.grad.isfinite().all() for p in trainable(model).values())
        optimizer.step()
    changed = logits(model, batch())
    assert changed.isfinite().all() and not torch.allclose(changed, before)
    assert DoRA(rank=2).merge(anatomy.model)
    assert weight.isfinite().all()
    torch.testing.assert_close(logits(model, batch()), changed, rtol=0, atol=1e-4)


def test_a_rank_stabilised_update_is_scaled_by_the_root_of_the_rank():
    anatomy = adapt(LoRA(rank=4, alpha=6, rank_stabilised=True), tiny("bert"))
    update = anatomy.layers[0].site("query").module.updates["0"]
    perturb(update.named_parameters())
    torch.testing.assert_close(update.matrix(), 6 / math.sqrt(4) * update.up @ update.down)


def test_with_a_ratio_b_learns_faster_than_a_and_the_head_as_before():
    method = LoRA(rank=4, lr=0.01, lr_ratio=16)
    anatomy = adapt(method, tiny("bert"))
    rates = {id(p): group.get("lr", method.lr) for group in method.parameter_groups(anatomy) for p in group["params"]}
    found = {name: rates[id(p)] for name, p in trainable(anatomy.model).items()}
    assert {rate for name, rate in found.items() if name.endswith(".up")} == {0.16}
    assert {rate for name, rate in found.items() if not name.endswith(".up")} == {0.01}


def dense_reference(anatomy, weight_of_update):
    """Output and gradient of a projection whose weight `weight_of_update(W, update)` was formed by hand."""
    site = anatomy.layers[0].site("query")
    update, x = site.module.updates["0"], torch.randn(5, 32)
    weight = weight_of_update(site.weight, update)
    return site.module(x), F.linear(x, weight, site.bias)


def test_dora_trains_magnitude_and_direction_apart():
    anatomy = adapt(DoRA(rank=3, alpha=6), tiny("bert"))
    perturb(trainable(anatomy.model).items())

    def by_hand(weight, update):
        direction = weight + 2.0 * update.up @ update.down
        return update.magnitude[:, None] * direction / direction.detach().pow(2).sum(1, keepdim=True).sqrt()

    found, expected = dense_reference(anatomy, by_hand)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    parameters = list(anatomy.layers[0].site("query").module.updates["0"].parameters())
    torch.manual_seed(0)
    found, expected = dense_reference(anatomy, by_hand)
    ours = torch.autograd.grad(found.square().sum(), parameters)
    theirs = torch.autograd.grad(expected.square().sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_vera_rescales_the_same_random_matrices_everywhere():
    anatomy = adapt(VeRA(rank=40), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    shared = anatomy.backbone.random_matrices["32x32"]

    def by_hand(weight, update):
        return weight + torch.diag(update.b) @ shared.up @ torch.diag(update.d) @ shared.down

    found, expected = dense_reference(anatomy, by_hand)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not any("random_matrices" in name for name in VeRA().state(anatomy.model))
    torch.manual_seed(5)
    again = adapt(VeRA(rank=40), tiny("bert")).backbone.random_matrices["32x32"]
    assert torch.equal(again.up, shared.up)
    other = adapt(VeRA(rank=40, seed=1), tiny("bert")).backbone.random_matrices["32x32"]
    assert not torch.equal(other.up, shared.up)


def test_pissa_takes_the_principal_part_out_of_the_weight():
    pretrained = tiny("bert").base_model.encoder.layer[0].attention.self.query.weight.detach()
    site = adapt(PiSSA(rank=4), tiny("bert")).layers[0].site("query")
    update = site.module.updates["0"]
    singular = torch.linalg.svdvals(pretrained)
    torch.testing.assert_close(torch.linalg.svdvals(update.matrix())[:4], singular[:4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.linalg.svdvals(site.weight)[:28], singular[4:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(site.weight + update.matrix(), pretrained, rtol=0, atol=1e-5)
    torch.testing.assert_close(update.up.T @ update.up, update.down @ update.down.T, rtol=1e-4, atol=1e-4)


def test_adalora_keeps_the_most_important_triplets_and_pulls_towards_orthogonal():
    method = AdaLoRA(rank=2, excess=2, warm_up=0.0, settle=0.0, every=1, penalty=0.5)
    anatomy = adapt(method, tiny("bert"))
    updates = [layer.site(name).module.updates["0"] for layer in anatomy.layers for name in ("query", "value")]
    perturb(trainable(anatomy.model).items())
    anatomy.model(**batch(), labels=torch.tensor([0, 1, 2])).loss.backward()
    plain = [{n: p.grad.clone() for n, p in update.named_parameters()} for update in updates]
    method.on_phase(anatomy, method.phases()[0], 1)
    method.after_backward(anatomy, 1)
    scores = []
    for update, gradient in zip(updates, plain, strict=True):
        left = update.left.detach().clone().requires_grad_(True)
        penalty = 0.5 / 8 * (left.T @ left - torch.eye(4)).norm()
        (slope,) = torch.autograd.grad(penalty, left)
        torch.testing.assert_close(update.left.grad, gradient["left"] + slope, rtol=1e-4, atol=1e-6)
        # After one step the averages are 0.15 of the sensitivity and 0.15 of what is left of it.
        part = {}
        for name, parameter in update.named_parameters():
            now = (parameter.detach() * gradient[name]).abs()
            part[name] = 0.15 * now * 0.15 * (now - 0.15 * now)
        scores.append(part["values"] + part["left"].mean(0) + part["right"].mean(1))
    method.after_step(anatomy, 1, None)
    everything = torch.cat(scores)
    kept = torch.cat([update.values != 0 for update in updates])
    assert kept.sum() == 2 * len(updates)
    assert everything[kept].min() >= everything[~kept].max()


def test_adalora_gives_up_triplets_along_a_cubic_curve():
    assert [remaining(step, 100, 120, 80, 0.1, 0.3) for step in (1, 10, 40, 70, 100)] == [120, 120, 85, 80, 80]


def test_qlora_computes_with_the_weights_that_bitsandbytes_dequantises():
    functional = pytest.importorskip("bitsandbytes.functional")
    plain = tiny("bert")
    anatomy = adapt(QLoRA(rank=2), tiny("bert"))
    pretrained = plain.base_model.encoder.layer[1].output.dense
    packed, state = functional.quantize_4bit(
        pretrained.weight.data, quant_type="nf4", compress_statistics=True, blocksize=64
    )
    weight = functional.dequantize_4bit(packed, state).float()
    x = torch.randn(5, 48)
    found = anatomy.layers[1].ffn_out.module.base(x)
    torch.testing.assert_close(found, F.linear(x, weight, pretrained.bias), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(weight, pretrained.weight, atol=1e-4)
    assert anatomy.layers[1].ffn_out.module.base.packed.numel() * 2 == pretrained.weight.numel()
    inputs = batch()
    expected = logits(anatomy.model, inputs)
    assert QLoRA(rank=2).merge(anatomy.model)
    torch.testing.assert_close(logits(anatomy.model, inputs), expected, rtol=0, atol=1e-4)


def test_adalora_keeps_and_stores_no_more_than_the_budget_in_every_step():
    method = AdaLoRA(rank=2, every=3)
    anatomy = adapt(method, tiny("bert"))
    updates = [layer.site(name).module.updates["0"] for layer in anatomy.layers for name in ("query", "value")]
    method.on_phase(anatomy, method.phases()[0], 20)
    optimizer = torch.optim.AdamW(trainable(anatomy.model).values(), lr=0.01)
    alive = []
    for step in range(1, 21):
        optimizer.zero_grad()
        anatomy.model(**batch(seed=step), labels=torch.tensor([0, 1, 2])).loss.backward()
        method.after_backward(anatomy, step)
        optimizer.step()
        method.after_step(anatomy, step, optimizer)
        alive.append(sum(int(update.values.count_nonzero()) for update in updates))
    assert alive[:2] == [12, 12] and alive[13:] == [8] * 7
    assert alive == sorted(alive, reverse=True)
    state = method.state(anatomy.model)
    assert sum(v.numel() for n, v in state.items() if n not in anatomy.head) == 8 * (32 + 32 + 1)
    fresh = adapt(method, tiny("bert"))
    method.load_state(fresh.model, state)
    anatomy.model.eval()
    torch.testing.assert_close(logits(fresh.model, batch()), logits(anatomy.model, batch()), rtol=0, atol=1e-5)


def test_vera_draws_its_matrices_kaiming_uniform():
    """Bounds of ±√(6 / inputs), as its authors' and peft's."""
    shared = adapt(VeRA(rank=400), tiny("bert")).backbone.random_matrices["32x32"]
    for matrix, inputs in ((shared.down, 32), (shared.up, 400)):
        bound = math.sqrt(6 / inputs)
        assert 0.98 * bound < matrix.abs().max() <= bound


def test_qlora_computes_in_the_dtype_of_autocast_and_leaves_biases_alone():
    pytest.importorskip("bitsandbytes")
    anatomy = adapt(QLoRA(rank=2), tiny("bert"))
    base = anatomy.layers[0].site("query").module.base
    before, seen = base.bias.detach().clone(), []
    base.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        anatomy.model(**batch())
    assert seen == [torch.bfloat16]
    assert base.bias.dtype == torch.float32 and torch.equal(base.bias, before)


def test_qlora_counts_every_byte_of_a_quantised_projection():
    """Half a byte a weight, one for each block of 64, an offset, a unit, and codebooks of 16 and of 256 numbers."""
    pytest.importorskip("bitsandbytes")
    base = adapt(QLoRA(rank=2), tiny("bert")).layers[0].site("query").module.base
    found = {name: buffer.numel() * buffer.element_size() for name, buffer in base.named_buffers()}
    assert found["packed"] == 32 * 32 // 2 and found["magnitudes"] == 32 * 32 // 64
    assert sum(found.values()) == 512 + 16 + 4 * (16 + 1 + 1 + 256)


def test_qlora_quantises_transposed_projections_as_they_are_multiplied():
    functional = pytest.importorskip("bitsandbytes.functional")
    pretrained = tiny("gpt2").base_model.h[0].attn.c_attn
    packed, state = functional.quantize_4bit(
        pretrained.weight.data.T.contiguous(), quant_type="nf4", compress_statistics=True, blocksize=64
    )
    weight = functional.dequantize_4bit(packed, state)
    x = torch.randn(5, 32)
    base = adapt(QLoRA(rank=2), tiny("gpt2")).layers[0].site("query").module.base
    torch.testing.assert_close(base(x), F.linear(x, weight, pretrained.bias), rtol=0, atol=1e-5)
    assert not torch.allclose(weight.T, pretrained.weight, atol=1e-4)
