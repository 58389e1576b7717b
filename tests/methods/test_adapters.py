"""Adapters against dense computations by hand, and against counts from the papers' formulas."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
from transformers.pytorch_utils import Conv1D

from methods.adapters.adapterdrop import AdapterDrop
from methods.adapters.compacter import Compacter, LPHMLinear
from methods.adapters.ia3 import IA3
from methods.adapters.madx import MADX
from methods.adapters.mam import MAM
from methods.adapters.parallel_adapter import ParallelAdapter
from methods.adapters.pfeiffer import Pfeiffer
from methods.anatomy import Anatomy
from methods.prompts.prefix_tuning import PrefixTuning
from tests.methods.test_lowrank import LLAMA_3_8B
from tests.methods.test_methods import BASE, LARGE, ROBERTA, real_shape
from tests.methods.tiny import CONFIGS, TASK, adapt, adapter_size, batch, head_of, logits, perturb, tiny, trainable

T5_BASE = {
    "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
    "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip

T0_3B = T5_BASE | {
    "d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
LABELS = torch.tensor([0, 1, 2])


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
        # On T0-3B: three vectors in each of 24 encoder layers, and two more in each of 24 decoder layers.
        (IA3(), ("t5", T0_3B), 24 * (2 * 2048 + 5120) + 24 * (4 * 2048 + 5120)),
        # Llama-3-8B, whose keys and values are a quarter as wide as its hidden states: 524,288 in peft as well.
        (IA3(), ("llama", LLAMA_3_8B), 524_288),
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


@pytest.mark.parametrize(("after_attention", "percent"), [(True, 0.073), (False, 0.047)])
def test_compacter_on_t5_base_trains_as_small_a_share_as_its_paper_prints(after_attention, percent):
    """Compacter and Compacter++ with n = 4 and a bottleneck of 24, layer normalisation included."""
    anatomy = real_shape("t5", **T5_BASE)
    Compacter(bottleneck=24, divisions=4, after_attention=after_attention).adapt(anatomy, TASK)
    assert round(100 * adapter_size(anatomy) / anatomy.num_backbone_parameters, 3) == percent


def test_ia3_trains_as_much_as_peft_does_on_t5():
    """Also where the decoder attends to its encoder, and where its layers are more than the encoder's."""
    peft = pytest.importorskip("peft")
    shape = T5_BASE | {"d_model": 64, "d_kv": 12, "d_ff": 96, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 3}
    anatomy = real_shape("t5", **shape)
    IA3().adapt(anatomy, TASK)
    assert adapter_size(anatomy) == 2 * (2 * 48 + 96) + 3 * (4 * 48 + 96)
    config = peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])
    theirs = peft.get_peft_model(real_shape("t5", **shape).model.to_empty(device="cpu"), config)
    assert sum(p.numel() for p in theirs.parameters() if p.requires_grad) == adapter_size(anatomy)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bottleneck": 8, "divisions": 4, "rank": 2}, None),
        ({"bottleneck": 8, "divisions": 4, "rank": 3}, "rank 3 exceeds a factor's size; it takes 1 to 2"),
        ({"bottleneck": 8, "divisions": 3},
         "3 divisions do not divide the hidden size 32 and the bottleneck 8; valid are 1, 2, 4, 8"),
    ],
)  # fmt: skip
def test_compacter_takes_what_divides_and_a_rank_within_its_factors(options, told):
    model = tiny("bert")
    assert Compacter(**options).out_of_range(Anatomy(model, head_of(model))) == told


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
    """In the running model: what goes into the block, and what comes out of it, are caught there."""
    anatomy = adapt(ParallelAdapter(bottleneck=4, scale=3.0), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    layer, caught = anatomy.layers[1], {}
    layer.module.intermediate.register_forward_hook(lambda module, args, output: caught.update(x=args[0]))
    layer.ffn_out.module.register_forward_hook(lambda module, args, output: caught.update(y=output))
    logits(anatomy.model, batch())
    adapter, x = layer.ffn_out.module.adapter.change, caught["x"]
    block = layer.ffn_out.projection(F.gelu(layer.ffn_in.projection(x)))
    own = torch.relu(x @ adapter.down.T + adapter.down_bias) @ adapter.up.T + adapter.up_bias
    torch.testing.assert_close(caught["y"], block + 3.0 * own, rtol=0, atol=1e-5)


def test_gradients_of_an_adapter_are_those_of_its_formula():
    """Derived by hand: h + U relu(D h + b_D) + b_U against a probe P."""
    anatomy = adapt(Pfeiffer(bottleneck=4), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    module = anatomy.layers[0].ffn_out.module
    adapter, x, probe = module.adapter.change, torch.randn(5, 48), torch.randn(5, 32)
    (module(x) * probe).sum().backward()
    with torch.no_grad():
        h = module.base(x)
        before = h @ adapter.down.T + adapter.down_bias
        inner = before * (before > 0)
        reached = (probe @ adapter.up) * (before > 0)
    torch.testing.assert_close(adapter.up.grad, probe.T @ inner)
    torch.testing.assert_close(adapter.up_bias.grad, probe.sum(0))
    torch.testing.assert_close(adapter.down.grad, reached.T @ h)
    torch.testing.assert_close(adapter.down_bias.grad, reached.sum(0))


def test_mam_is_prefixes_and_parallel_adapters_together():
    """Each half alone, with the other half switched off, is the method that it is taken from."""
    mam = adapt(MAM(bottleneck=4, length=3, scale=3.0), tiny("bert"))
    perturb(trainable(mam.model).items())
    taken = {name: p.detach() for name, p in trainable(mam.model).items()}
    for method, off in (PrefixTuning(length=3), ".adapter."), (ParallelAdapter(bottleneck=4, scale=3.0), ".prefix."):
        part = adapt(method, tiny("bert"))
        with torch.no_grad():
            for name, parameter in trainable(part.model).items():
                parameter.copy_(taken[name])
        model = copy.deepcopy(mam.model)
        if off == ".adapter.":
            for name, parameter in model.named_parameters():
                if off in name:
                    parameter.data.zero_()
        else:
            for layer in Anatomy(model, head_of(model)).layers:
                del layer.attention.prefix
        torch.testing.assert_close(logits(model, batch()), logits(part.model, batch()), rtol=0, atol=1e-5)
        assert (logits(mam.model, batch()) - logits(part.model, batch())).abs().max() > 1e-3


def test_mam_stores_resulting_prefixes_and_adapters_without_the_network():
    method = MAM(bottleneck=4, length=3, reparametrise=True, width=16)
    anatomy = adapt(method, tiny("bert"), train=True)
    perturb(trainable(anatomy.model).items())
    state = method.state(anatomy.model)
    stored = sum(value.numel() for name, value in state.items() if name not in anatomy.head)
    assert stored == 2 * (2 * 3 * 32 + 2 * 4 * 32 + 4 + 32)
    fresh = adapt(method, tiny("bert"))
    method.load_state(fresh.model, state)
    torch.testing.assert_close(logits(fresh.model, batch()), logits(anatomy.model, batch()), rtol=0, atol=1e-6)


def kronecker(layer: LPHMLinear) -> torch.Tensor:
    return sum(torch.kron(a, s @ t.T) for a, s, t in zip(layer.rule, layer.left, layer.right, strict=True))


@pytest.mark.parametrize("rank", [1, 2])
def test_compacter_is_a_sum_of_kronecker_products(rank):
    """Outputs, and gradients as autograd finds them through the matrices written out."""
    anatomy = adapt(Compacter(bottleneck=8, divisions=4, rank=rank), tiny("bert").double())
    perturb(trainable(anatomy.model).items())
    adapters = [layer.site(name).module.adapter.change for layer in anatomy.layers for name in (
        "attention_output", "ffn_out"
    )]  # fmt: skip
    assert len({id(part.rule) for adapter in adapters for part in (adapter.down, adapter.up)}) == 1
    adapter = adapters[3]
    down, up = adapter.down, adapter.up
    x, probe = torch.randn(2, 5, 32, dtype=torch.double), torch.randn(2, 5, 32, dtype=torch.double)
    found = adapter(x)
    expected = F.linear(F.gelu(F.linear(x, kronecker(down), down.bias)), kronecker(up), up.bias)
    torch.testing.assert_close(found, expected)
    parameters = list(adapter.parameters())
    assert len(parameters) == 7
    wanted = torch.autograd.grad((expected * probe).sum(), parameters)
    for gradient, dense in zip(torch.autograd.grad((found * probe).sum(), parameters), wanted, strict=True):
        torch.testing.assert_close(gradient, dense)


@pytest.mark.parametrize(("divisions", "rank"), [(1, 1), (4, 1), (12, 1), (4, 8)])
def test_compacter_starts_with_a_bottleneck_of_the_scale_of_its_input(divisions, rank):
    """Whatever the number of products and their rank; over many draws, since the factors are few."""
    method, squares = Compacter(bottleneck=24, divisions=divisions, rank=rank), []
    for seed in range(60):
        anatomy = adapt(method, tiny("bert", seed, hidden_size=48))
        down = anatomy.layers[0].ffn_out.module.adapter.change.down
        squares.append(down(torch.randn(20, 48)).square().mean().item())
    assert len(set(squares)) == 60
    assert 0.4 < sum(squares) / 60 < 2.5


def test_adapterdrop_leaves_the_lower_layers_as_they_are():
    model = tiny("bert", num_hidden_layers=4)
    adapt(AdapterDrop(bottleneck=4, drop=3), model)
    perturb(trainable(model).items())
    plain = tiny("bert", num_hidden_layers=4)
    inputs = batch()
    with torch.no_grad():
        changed, before = (m.base_model(**inputs, output_hidden_states=True).hidden_states for m in (model, plain))
    for layer in range(4):
        torch.testing.assert_close(changed[layer], before[layer])
    assert not torch.allclose(changed[4], before[4])
    states = model.base_model(**inputs, output_hidden_states=True).hidden_states
    assert [state.requires_grad for state in states] == [False] * 4 + [True]


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "modernbert", "llama", "t5", "bart", "albert"])
def test_ia3_rescales_keys_values_and_inner_activations(architecture):
    """As a model whose weights were rescaled by hand; and merging leaves exactly those weights."""
    model, reference = tiny(architecture), tiny(architecture)
    anatomy = adapt(IA3(), model)
    perturb(trainable(model).items(), 0.3)
    by_hand = Anatomy(reference, head_of(reference))
    with torch.no_grad():
        for layer, other in zip(anatomy.layers, by_hand.layers, strict=True):
            for name in ("key", "value"):
                sites = list(zip(layer.sites(name), other.sites(name), strict=True))
                assert len(sites) == (2 if layer.causal and anatomy.encodes_and_decodes else 1)
                for site, plain in sites:
                    scale = site.module.updates[str(site.part)].scale
                    plain.weight.mul_(scale[:, None])
                    if plain.bias is not None:
                        plain.bias.mul_(scale)
            other.ffn_out.weight.mul_(layer.ffn_out.module.updates["0"].scale)
        for name, parameter in reference.named_parameters():
            if name in by_hand.head:
                parameter.copy_(model.get_parameter(name))
    inputs = batch(architecture)
    expected = logits(reference, inputs)
    assert (logits(tiny(architecture), inputs) - expected).abs().max() > 1e-2
    torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-4)
    assert IA3().merge(model)
    assert model.state_dict().keys() == reference.state_dict().keys()
    for name, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "modernbert", "t5"])
def test_gradients_of_ia3_are_those_of_rescaled_dense_weights(architecture):
    """A weight W = l ⊙ W₀ by rows has the gradient Σ_in (∂W ⊙ W₀) for l, by columns Σ_out; a bias adds ∂b ⊙ b₀."""
    model, reference = tiny(architecture), tiny(architecture)
    anatomy, dense = adapt(IA3(), model), Anatomy(reference, head_of(reference))
    for each in (model, reference):
        each(**batch(architecture), labels=LABELS).loss.backward()
    for layer, other in zip(anatomy.layers, dense.layers, strict=True):
        for name, axis in (("key", 1), ("value", 1), ("ffn_out", 0)):
            for site, plain in zip(layer.sites(name), other.sites(name), strict=True):
                projection = plain.projection
                weight = projection.weight.grad.T if isinstance(projection, Conv1D) else projection.weight.grad
                expected = (weight.chunk(plain.parts)[plain.part] * plain.weight).sum(axis)
                if axis == 1 and plain.bias is not None:
                    expected += projection.bias.grad.chunk(plain.parts)[plain.part] * plain.bias
                found = site.module.updates[str(site.part)].scale.grad
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "electra", "opt"])
def test_the_invertible_adapter_can_be_inverted(architecture):
    anatomy = adapt(MADX(bottleneck=4), tiny(architecture))
    coupling = anatomy.backbone.invertible
    perturb(coupling.named_parameters())
    size = anatomy.word_embeddings.embedding_dim
    assert size == (32 if architecture == "bert" else 16)
    e = torch.randn(2, 7, size)
    low, high = e.chunk(2, dim=-1)
    first, second = coupling.first, coupling.second
    low = low + torch.relu(high @ first.down.T + first.down_bias) @ first.up.T + first.up_bias
    high = high + torch.relu(low @ second.down.T + second.down_bias) @ second.up.T + second.up_bias
    assert (coupling(e) - e).abs().max() > 1e-2
    torch.testing.assert_close(coupling(e), torch.cat([low, high], dim=-1))
    torch.testing.assert_close(coupling.inverse(coupling(e)), e, rtol=0, atol=1e-5)
    torch.testing.assert_close(coupling(coupling.inverse(e)), e, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "albert", "t5", "bart", "gemma"])
def test_every_word_embedding_goes_through_the_invertible_adapter(architecture):
    """As a model whose table holds what the adapter makes of each word; but what is given as an embedding does not."""
    model, reference = tiny(architecture), tiny(architecture)
    anatomy = adapt(MADX(bottleneck=4), model)
    coupling, table = anatomy.backbone.invertible, reference.get_input_embeddings()
    perturb(coupling.named_parameters())
    with torch.no_grad():
        scale = getattr(table, "embed_scale", 1.0)
        table.weight.copy_(coupling(table.weight * scale) / scale)
        for name, parameter in reference.named_parameters():
            if not name.startswith(reference.base_model_prefix):
                parameter.copy_(model.get_parameter(name))
    inputs = batch(architecture)
    torch.testing.assert_close(logits(model, inputs), logits(reference, inputs), rtol=0, atol=1e-4)
    assert (logits(tiny(architecture), inputs) - logits(model, inputs)).abs().max() > 1e-3
    if architecture == "bert":
        embedded = {"inputs_embeds": torch.randn(3, 10, 32)}
        assert torch.equal(logits(model, embedded), logits(tiny(architecture), embedded))


@pytest.mark.parametrize(
    ("auto", "architecture", "tied"),
    [
        (AutoModelForCausalLM, "gpt2", True), (AutoModelForCausalLM, "gpt2", False),
        (AutoModelForMaskedLM, "bert", True), (AutoModelForSeq2SeqLM, "bart", True),
    ],
)  # fmt: skip
def test_a_tied_head_sees_the_inverse_of_what_the_backbone_ends_with(auto, architecture, tied):
    torch.manual_seed(0)
    options = CONFIGS[architecture] | {"tie_word_embeddings": tied}
    model = auto.from_config(AutoConfig.for_model(architecture, **options)).eval()
    anatomy = Anatomy(model, set())
    head = model.get_output_embeddings()
    assert (head.weight is anatomy.word_embeddings.weight) is tied
    MADX(bottleneck=4).adapt(anatomy, TASK)
    coupling, caught = anatomy.backbone.invertible, {}
    perturb(coupling.named_parameters())
    head.register_forward_pre_hook(lambda module, args: caught.update(read=args[0]))  # after the method's own
    where = model.cls.predictions.transform if architecture == "bert" else anatomy.backbone
    where.register_forward_hook(
        lambda module, args, output: caught.update(ended=output if torch.is_tensor(output) else output[0])
    )
    logits(model, batch(architecture))
    if tied:
        assert (caught["read"] - caught["ended"]).abs().max() > 1e-3
        torch.testing.assert_close(coupling(caught["read"]), caught["ended"], rtol=0, atol=1e-5)
    else:
        assert torch.equal(caught["read"], caught["ended"])


def test_embeddings_of_an_odd_size_have_no_two_halves():
    model = tiny("electra", embedding_size=15)
    reason = MADX().unsupported(Anatomy(model, head_of(model)), TASK)
    assert reason == "word embeddings of electra have the odd size 15: they have no two halves"


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
