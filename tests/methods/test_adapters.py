"""Adapters against dense computations by hand, and against counts from the papers' formulas."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.adapters.adapterdrop import AdapterDrop
from methods.adapters.compacter import Compacter
from methods.adapters.ia3 import IA3
from methods.adapters.madx import MADX
from methods.adapters.mam import MAM
from methods.adapters.parallel_adapter import ParallelAdapter
from methods.adapters.pfeiffer import Pfeiffer
from methods.anatomy import Anatomy
from tests.methods.test_methods import BASE, LARGE, ROBERTA, real_shape
from tests.methods.tiny import TASK, adapt, adapter_size, batch, head_of, logits, perturb, tiny, trainable

T5_BASE = {
    "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
    "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "shape", "count"),
    [
        # One bottleneck in each layer: two matrices and two biases.
        (Pfeiffer(bottleneck=48), ("bert", BASE), 12 * (2 * 48 * 768 + 48 + 768)),
        (AdapterDrop(bottleneck=48, drop=5), ("bert", BASE), 7 * (2 * 48 * 768 + 48 + 768)),
        (ParallelAdapter(bottleneck=512), ("roberta", LARGE | ROBERTA), 24 * (2 * 512 * 1024 + 512 + 1024)),
        (MAM(bottleneck=512, length=30), ("bert", BASE), 12 * (2 * 30 * 768 + 2 * 512 * 768 + 512 + 768)),
        # A vector each for keys and values, and one of the inner size.
        (IA3(), ("bert", BASE), 12 * (768 + 768 + 3072)),
        (IA3(), ("roberta", LARGE | ROBERTA), 24 * (1024 + 1024 + 4096)),
        # Per adapter and matrix n(out/n + in/n) and a bias; the shared n³ once in all.
        (Compacter(bottleneck=24, divisions=4, train_norms=False), ("bert", BASE),
         24 * (2 * (24 + 768) + 24 + 768) + 4**3),
        # Two halves of the embeddings, mapped to each other through half their size; and Pfeiffer's adapters.
        (MADX(bottleneck=48, reduction=2), ("bert", BASE),
         2 * (2 * 384 * 192 + 384 + 192) + 12 * (2 * 48 * 768 + 48 + 768)),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_formulas(method, shape, count):
    anatomy = real_shape(shape[0], **shape[1])
    assert method.out_of_range(anatomy) is None
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


def test_compacter_on_t5_base_trains_as_small_a_share_as_its_paper_prints():
    """0.073 % of T5-base with n = 4 and a bottleneck of 24, layer normalisation included."""
    anatomy = real_shape("t5", **T5_BASE)
    Compacter(bottleneck=24, divisions=4).adapt(anatomy, TASK)
    assert 100 * adapter_size(anatomy) / anatomy.num_backbone_parameters == pytest.approx(0.073, abs=0.005)


def test_a_pfeiffer_adapter_computes_its_formula_before_the_residual():
    anatomy = adapt(Pfeiffer(bottleneck=4), tiny("bert"), train=True)
    perturb(trainable(anatomy.model).items())
    module = anatomy.layers[1].ffn_out.module
    adapter, x = module.adapter.change, torch.randn(2, 5, 48)
    h = module.base(x)
    expected = h + torch.relu(h @ adapter.down.T + adapter.down_bias) @ adapter.up.T + adapter.up_bias
    torch.testing.assert_close(module(x), expected)
    assert type(anatomy.layers[1].attention_output.module) is torch.nn.Linear


def test_a_parallel_adapter_reads_what_the_feed_forward_block_reads():
    anatomy = adapt(ParallelAdapter(bottleneck=4, scale=3.0), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    layer = anatomy.layers[0]
    adapter, x = layer.ffn_out.module.adapter.change, torch.randn(2, 5, 32)
    inner = F.gelu(layer.ffn_in.projection(x))
    expected = layer.ffn_out.projection(inner)
    expected = expected + 3.0 * (torch.relu(x @ adapter.down.T + adapter.down_bias) @ adapter.up.T + adapter.up_bias)
    layer.ffn_in.module(x)
    torch.testing.assert_close(layer.ffn_out.module(inner), expected)


def test_compacter_is_a_sum_of_kronecker_products():
    anatomy = adapt(Compacter(bottleneck=8, divisions=4, rank=2), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    adapters = [layer.ffn_out.module.adapter.change for layer in anatomy.layers]
    for layer in adapters[0].down, adapters[1].up:
        matrix = sum(torch.kron(a, s @ t.T) for a, s, t in zip(layer.rule, layer.left, layer.right, strict=True))
        x = torch.randn(3, matrix.shape[1])
        torch.testing.assert_close(layer(x), F.linear(x, matrix, layer.bias), rtol=1e-4, atol=1e-5)
    assert adapters[0].down.rule is adapters[1].up.rule


def test_adapterdrop_leaves_the_lower_layers_as_they_are():
    model = tiny("bert", num_hidden_layers=4)
    anatomy = adapt(AdapterDrop(bottleneck=4, drop=3), model)
    perturb(trainable(model).items())
    plain = tiny("bert", num_hidden_layers=4)
    inputs = batch()
    with torch.no_grad():
        changed, before = (m.base_model(**inputs, output_hidden_states=True).hidden_states for m in (model, plain))
    for layer in range(4):
        torch.testing.assert_close(changed[layer], before[layer])
    assert not torch.allclose(changed[4], before[4])
    assert anatomy.num_layers == 4


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "modernbert", "llama"])
def test_ia3_rescales_keys_values_and_inner_activations(architecture):
    """As a model whose weights were rescaled by hand."""
    model, reference = tiny(architecture), tiny(architecture)
    anatomy = adapt(IA3(), model)
    perturb(trainable(model).items(), 0.3)
    by_hand = Anatomy(reference, head_of(reference))
    with torch.no_grad():
        for layer, other in zip(anatomy.layers, by_hand.layers, strict=True):
            for name in ("key", "value"):
                site = layer.site(name)
                scale = site.module.updates[str(site.part)].scale
                other.site(name).weight.mul_(scale[:, None])
                if (bias := other.site(name).bias) is not None:
                    bias.mul_(scale)
            other.ffn_out.weight.mul_(layer.ffn_out.module.updates["0"].scale)
        for name, parameter in reference.named_parameters():
            if name in by_hand.head:
                parameter.copy_(model.get_parameter(name))
    inputs = batch(architecture)
    torch.testing.assert_close(logits(model, inputs), logits(reference, inputs), rtol=0, atol=1e-4)


def test_the_invertible_adapter_can_be_inverted():
    anatomy = adapt(MADX(bottleneck=4), tiny("electra"))
    coupling = anatomy.backbone.invertible
    perturb(coupling.named_parameters())
    e = torch.randn(2, 7, 16)
    assert not torch.allclose(coupling(e), e, atol=1e-3)
    torch.testing.assert_close(coupling.inverse(coupling(e)), e, rtol=0, atol=1e-5)
    low, high = e.chunk(2, dim=-1)
    torch.testing.assert_close(coupling(e)[..., :8], low + coupling.first(high))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Compacter(bottleneck=8, divisions=3), "3 divisions do not divide the hidden size 32 and the bottleneck 8;"
         " valid are 1, 2, 4, 8"),
        (AdapterDrop(drop=2), "drop 2 leaves no layer with an adapter; it takes 1 to 1"),
        (MADX(reduction=20), "reduction 20 leaves no width in half an embedding; it takes 1 to 16"),
    ],
)  # fmt: skip
def test_what_the_dimensions_do_not_allow_is_refused_with_the_valid_range(method, told):
    model = tiny("bert")
    assert method.out_of_range(Anatomy(model, head_of(model))) == told
