"""Each method against something other than itself: a closed form, a paper's count, a computation by hand."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification

from bench.registry import Registry
from methods.adapters.houlsby import Houlsby
from methods.anatomy import Anatomy, UnsupportedBackbone
from methods.base import Phase
from methods.lowrank.lora import LoRA
from methods.prompts.prefix_tuning import FreePrefix, PrefixTuning, ReparametrisedPrefix
from methods.prompts.prompt_tuning import PromptTuning
from methods.sparse.bitfit import BitFit
from methods.sparse.layernorm import LayerNormTuning
from methods.sparse.lt_sft import LTSFT
from tests.methods.tiny import (
    CONFIGS,
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

LABELS = torch.tensor([0, 1, 2])


def real_shape(architecture: str, **shape) -> Anatomy:
    """A model of a published size, without its weights."""
    config = AutoConfig.for_model(architecture, num_labels=2, **shape)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    return Anatomy(model, head_of(model))


BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}


@pytest.mark.parametrize(
    ("method", "shape", "count"),
    [
        # Hu et al. print 0.3 M and 0.8 M for RoBERTa with rank 8 on query and value.
        (LoRA(rank=8), ("roberta", BASE | ROBERTA), 294_912),
        (LoRA(rank=8), ("roberta", LARGE | ROBERTA), 786_432),
        # Houlsby et al., BERT-large: two bottlenecks in each of 24 layers, and every LayerNorm (two per layer, one
        # after the embeddings).
        (Houlsby(bottleneck=64), ("bert", LARGE), 24 * 2 * (2 * 64 * 1024 + 64 + 1024) + 49 * 2 * 1024),
        # Lester et al.: length × hidden.
        (PromptTuning(length=100, init="random"), ("roberta", BASE | ROBERTA), 100 * 768),
        # Li and Liang: keys and values of every layer, here as a network of width 512 produces them.
        (PrefixTuning(length=20, reparametrise=True, width=512), ("bert", BASE),
         20 * 768 + 768 * 512 + 512 + 12 * (512 * 2 * 768 + 2 * 768)),
        (PrefixTuning(length=20), ("bert", BASE), 12 * 2 * 20 * 768),
        # Per layer seven biases of the hidden size (query, key, value, two outputs, two norms) and one of the inner
        # size; the norm of the embeddings; the pooler.
        (BitFit(), ("bert", BASE), 12 * (7 * 768 + 3072) + 2 * 768),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_papers(method, shape, count):
    architecture, sizes = shape
    anatomy = real_shape(architecture, **sizes)
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


@pytest.mark.parametrize(
    ("method", "shape", "percent"),
    [
        # Ben Zaken et al. print 0.09 and 0.08 for BERT-base and -large, Qi et al. 0.03 for BERT-large.
        (BitFit(), BASE, 0.09),
        (BitFit(), LARGE, 0.08),
        (LayerNormTuning(), LARGE, 0.03),
    ],
)
def test_the_share_of_bert_is_what_papers_print(method, shape, percent):
    anatomy = real_shape("bert", **shape)
    method.adapt(anatomy, TASK)
    assert round(100 * adapter_size(anatomy) / anatomy.num_backbone_parameters, 2) == percent


def test_lora_is_the_product_of_its_factors_with_the_gradients_of_a_dense_update():
    anatomy = adapt(LoRA(rank=3, alpha=6), tiny("bert"), train=True)
    wrapped = anatomy.layers[0].site("query").module
    down, up = wrapped.updates["0"].down, wrapped.updates["0"].up
    assert up.any()
    x = torch.randn(5, 32)
    dense = (wrapped.base.weight + 2.0 * up @ down).detach().requires_grad_(True)
    torch.testing.assert_close(wrapped(x), F.linear(x, dense, wrapped.base.bias), rtol=0, atol=1e-6)

    probe = torch.randn(5, 32)
    (wrapped(x) * probe).sum().backward()
    (F.linear(x, dense, wrapped.base.bias) * probe).sum().backward()
    torch.testing.assert_close(up.grad, 2.0 * dense.grad @ down.T)
    torch.testing.assert_close(down.grad, 2.0 * up.T @ dense.grad)


def test_lt_sft_keeps_the_entries_that_changed_most_and_rewinds_the_rest():
    method, anatomy = LTSFT(density=0.1), Anatomy(model := tiny("bert"), head_of(model))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    method.adapt(anatomy, TASK)
    candidates = set(trainable(model)) - anatomy.head
    assert candidates == {name for name in start if "LayerNorm" not in name} - anatomy.head
    method.on_phase(anatomy, Phase("select", 0.5), 1)
    perturb(trainable(model).items(), 1.0)
    change = {name: (p.detach() - start[name]).abs() for name, p in model.named_parameters() if name in candidates}
    method.on_phase(anatomy, Phase("tune", 0.5), 1)

    everything = torch.cat([values.flatten() for values in change.values()])
    expected = int(0.1 * everything.numel())
    assert adapter_size(anatomy) == expected
    threshold = everything.sort(descending=True).values[expected - 1]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".values"):
                parameter.fill_(1.0)
    method.merge(model)
    for name, parameter in model.named_parameters():
        mask = change[name] >= threshold if name in change else torch.zeros_like(parameter, dtype=torch.bool)
        torch.testing.assert_close(parameter.detach(), start[name] + mask.float(), msg=name)


def test_gradients_of_sparse_values_are_entries_of_the_dense_gradient():
    reference = tiny("bert")
    F.cross_entropy(reference(**batch()).logits, LABELS).backward()
    dense = {name: p.grad for name, p in reference.named_parameters()}

    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    method = LTSFT(density=0.02)
    method.adapt(anatomy, TASK)
    perturb(trainable(model).items())
    method.on_phase(anatomy, Phase("tune", 0.5), 1)
    F.cross_entropy(model(**batch()).logits, LABELS).backward()
    seen = 0
    for name, parameter in model.named_parameters():
        if name.endswith(".values"):
            path, _, attribute = name.removesuffix(".0.values").rpartition(".parametrizations.")
            indices = model.get_submodule(name.removesuffix(".values")).indices
            torch.testing.assert_close(parameter.grad, dense[f"{path}.{attribute}"].flatten()[indices])
            seen += indices.numel()
    assert seen == adapter_size(anatomy) > 0


def test_what_lt_sft_stores_grows_with_density_not_with_the_model():
    def stored(density: float) -> int:
        method = LTSFT(density=density)
        anatomy = adapt(method, tiny("bert"), train=True)
        return sum(value.numel() for name, value in method.state(anatomy.model).items() if name not in anatomy.head)

    assert stored(0.2) == pytest.approx(2 * stored(0.1), rel=0.01)


@pytest.mark.parametrize(("architecture", "place"), [("bert", 1), ("roberta", 1), ("llama", 0), ("qwen2", 0)])
def test_a_prompt_is_read_as_embedded_tokens_would_be(architecture, place):
    """A prompt that holds the embeddings of real tokens gives what those tokens give."""
    model = tiny(architecture)
    adapt(PromptTuning(length=4), model)
    tokens = torch.tensor([7, 8, 9, 10])
    with torch.no_grad():
        model.base_model.prompt.vectors.copy_(model.get_input_embeddings()(tokens))
    ids = torch.randint(11, 99, (3, 10))
    mask = torch.ones_like(ids)
    spelled = torch.cat([ids[:, :place], tokens.expand(len(ids), -1), ids[:, place:]], dim=1)
    expected = logits(tiny(architecture), {"input_ids": spelled, "attention_mask": torch.ones_like(spelled)})
    found = logits(model, {"input_ids": ids, "attention_mask": mask})
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_backbone_with_a_prompt_returns_the_positions_that_went_in(architecture):
    model = tiny(architecture)
    adapt(PromptTuning(length=4), model)
    inputs = batch(architecture)
    if architecture == "t5":  # which makes none of its own
        inputs["decoder_input_ids"] = inputs["input_ids"]
    assert model.base_model(**inputs).last_hidden_state.shape[:2] == (3, 10)


def test_a_prefix_is_what_a_decoder_remembers_of_tokens_before():
    """Keys and values that OPT itself computes for four tokens, given as a prefix, give what its own cache gives."""
    model = tiny("opt")
    backbone = model.base_model
    before = torch.tensor([[7, 8, 9, 10]])
    ids, positions = batch("opt")["input_ids"][:1], torch.arange(4, 14)[None]
    with torch.no_grad():
        cache = backbone(input_ids=before, use_cache=True).past_key_values
        remembered = [(layer.keys[0].clone(), layer.values[0].clone()) for layer in cache.layers]
        expected = backbone(
            input_ids=ids, past_key_values=cache, attention_mask=torch.ones(1, 14), position_ids=positions
        ).last_hidden_state
        anatomy = adapt(PrefixTuning(length=4), model)
        for layer, (keys, values) in zip(anatomy.layers, remembered, strict=True):
            layer.attention.prefix.key.copy_(keys)
            layer.attention.prefix.value.copy_(values)
        found = backbone(
            input_ids=ids, attention_mask=torch.ones(1, 10), position_ids=positions, use_cache=False
        ).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_prefix_attends_as_attention_written_by_hand():
    anatomy = adapt(PrefixTuning(length=3), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    attention = anatomy.layers[0].attention
    caught = {}

    def keep(module, args, output):
        caught["in"], caught["out"] = args[0], output[0]

    attention.register_forward_hook(keep)
    inputs = batch("bert")
    inputs["attention_mask"][1:, -3:] = 0
    logits(anatomy.model, inputs)
    x = caught["in"]

    def heads(projection):
        return projection(x).view(3, 10, 4, 8).transpose(1, 2)

    q, k, v = heads(attention.query), heads(attention.key), heads(attention.value)
    k = torch.cat([attention.prefix.key.expand(3, -1, -1, -1), k], dim=2)
    v = torch.cat([attention.prefix.value.expand(3, -1, -1, -1), v], dim=2)
    visible = torch.cat([torch.ones(3, 3), inputs["attention_mask"]], dim=1)[:, None, None].bool()
    weights = (q @ k.transpose(2, 3) / math.sqrt(8)).masked_fill(~visible, -torch.inf).softmax(-1)
    expected = (weights @ v).transpose(1, 2).reshape(3, 10, 32)
    torch.testing.assert_close(caught["out"], expected, rtol=0, atol=1e-5)


def test_a_reparametrised_prefix_is_stored_without_its_network():
    method = PrefixTuning(length=5, reparametrise=True, width=16)
    anatomy = adapt(method, tiny("bert"), train=True)
    assert isinstance(anatomy.layers[0].attention.prefix, ReparametrisedPrefix)
    state = method.state(anatomy.model)
    assert sum(value.numel() for name, value in state.items() if name not in anatomy.head) == 2 * 2 * 5 * 32
    fresh = adapt(method, tiny("bert"))
    method.load_state(fresh.model, state)
    assert isinstance(fresh.layers[0].attention.prefix, FreePrefix)
    torch.testing.assert_close(logits(fresh.model, batch()), logits(anatomy.model, batch()), rtol=0, atol=1e-6)


def test_houlsby_adapters_compute_their_formula_before_the_residual():
    anatomy = adapt(Houlsby(bottleneck=4, nonlinearity="relu"), tiny("bert"), train=True)
    for name, width in (("attention_output", 32), ("ffn_out", 48)):
        module = anatomy.layers[1].site(name).module
        x = torch.randn(2, 5, width)
        h, adapter = module.base(x), module.adapter.change
        inner = torch.relu(h @ adapter.down.T + adapter.down_bias)
        assert adapter.up.any()
        torch.testing.assert_close(module(x), h + inner @ adapter.up.T + adapter.up_bias)


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("lora", {"rank": 0}, "greater than or equal to 1"),
        ("lora", {"targets": ["qeury"]}, "'query', 'key', 'value'"),
        ("lora", {"targets": []}, "at least 1"),
        ("lora", {"targets": ["query", "query"]}, "named twice"),
        ("lora", {"dropout": 1.0}, "less than 1"),
        ("lt_sft", {"density": 0}, "greater than 0"),
        ("lt_sft", {"density": 1.5}, "less than or equal to 1"),
        ("houlsby", {"bottleneck": 0}, "greater than or equal to 1"),
        ("houlsby", {"nonlinearity": "sine"}, "'gelu', 'relu'"),
        ("prompt_tuning", {"length": 0}, "greater than or equal to 1"),
        ("full", {"lr": 0}, "greater than 0"),
        ("full", {"rank": 8}, "not permitted"),
    ],
)
def test_wrong_hyperparameters_are_refused_with_the_valid_range(name, wrong, told):
    with pytest.raises(ValidationError, match=told):
        Registry().get("methods", name).cls(**wrong)


def test_a_rank_above_the_dimension_does_not_apply():
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    assert LoRA(rank=33).out_of_range(anatomy) == "rank 33 exceeds the dimension of query; it takes 1 to 32"


def test_an_architecture_that_is_not_described_is_refused_in_one_line():
    config = AutoConfig.for_model("bloom", hidden_size=32, n_layer=1, n_head=2, vocab_size=60)
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(UnsupportedBackbone, match=r"'bloom'; known are albert, .*methods/layouts\.py"):
        Anatomy(model, set())


@pytest.mark.parametrize("name", Registry().names("methods"))
def test_cards_are_complete(name):
    card = Registry().get("methods", name).cls.card
    assert all(f"{{{key}," in card.bibtex for key in card.citation.split(","))
    assert all(f"{{{claim.source}," in card.bibtex for claim in card.claims)
    assert len(card.summary) > 100
    assert card.formula
