"""Each method against something other than itself: a closed form, a paper's count, a computation by hand."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification

from methods.anatomy import Anatomy, UnsupportedBackbone
from methods.base import Phase
from methods.prompts.prefix_tuning import GeneratedPrefixes, Prefixes
from tests.methods.conftest import METHODS, Tiny, logits, method_named, train


def real_shape(architecture: str, **shape) -> Anatomy:
    """A model of a published size, without its weights."""
    config = AutoConfig.for_model(architecture, num_labels=2, **shape)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    prefix = model.base_model_prefix + "."
    return Anatomy(model, {name for name, _ in model.named_parameters() if not name.startswith(prefix)})


BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}


def adapter_parameters(anatomy: Anatomy) -> int:
    return sum(p.numel() for n, p in anatomy.model.named_parameters() if p.requires_grad and n not in anatomy.head)


@pytest.mark.parametrize(
    ("name", "hyperparameters", "shape", "count"),
    [
        # Hu et al. print 0.3 M and 0.8 M for RoBERTa with r = 8 on query and value.
        ("lora", {"rank": 8}, ("roberta", BASE | ROBERTA), 294_912),
        ("lora", {"rank": 8}, ("roberta", LARGE | ROBERTA), 786_432),
        # Houlsby et al., BERT-large: two bottlenecks in each of 24 layers.
        ("houlsby", {"bottleneck": 64}, ("bert", LARGE), 24 * 2 * (2 * 64 * 1024 + 64 + 1024)),
        # Lester et al.: length × hidden.
        ("prompt_tuning", {"length": 100, "init": "random"}, ("roberta", BASE | ROBERTA), 100 * 768),
        # Li and Liang: keys and values of every layer.
        ("prefix_tuning", {"length": 20, "reparametrise": True, "width": 512}, ("bert", BASE),
         20 * 768 + 768 * 512 + 512 + 512 * (12 * 2 * 768) + 12 * 2 * 768),
        # BERT-base: 9 biases of hidden size and one of the inner size per layer, LayerNorm of the embeddings, pooler.
        ("bitfit", {}, ("bert", BASE), 12 * (8 * 768 + 3072 - 768 + 768) - 12 * 768 + 12 * 768 + 2 * 768),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_papers(name, hyperparameters, shape, count):
    architecture, sizes = shape
    anatomy = real_shape(architecture, **sizes)
    method_named(name, **hyperparameters).adapt(anatomy, None)
    assert adapter_parameters(anatomy) == count


def test_bitfit_is_about_eight_hundredths_of_a_percent_of_bert_base():
    """As its paper prints for BERT-large and BERT-base, without the pooler."""
    anatomy = real_shape("bert", **BASE)
    total = sum(p.numel() for p in anatomy.backbone.parameters())
    method_named("bitfit").adapt(anatomy, None)
    assert 100 * adapter_parameters(anatomy) / total == pytest.approx(0.09, abs=0.015)


def test_lora_is_the_product_of_its_factors_with_the_gradients_of_a_dense_update(tiny_bert):
    method = method_named("lora", rank=3, alpha=6)
    anatomy = tiny_bert.adapted(method)
    train(method, anatomy, tiny_bert.batch())
    wrapped = anatomy.layers[0].site("query").module
    x = torch.randn(5, 32)
    dense = (wrapped.base.weight + 2.0 * wrapped.b @ wrapped.a).detach().requires_grad_(True)
    torch.testing.assert_close(wrapped(x), F.linear(x, dense, wrapped.base.bias), rtol=0, atol=1e-6)

    probe = torch.randn(5, 32)
    (wrapped(x) * probe).sum().backward()
    (F.linear(x, dense, wrapped.base.bias) * probe).sum().backward()
    torch.testing.assert_close(wrapped.b.grad, 2.0 * dense.grad @ wrapped.a.T)
    torch.testing.assert_close(wrapped.a.grad, 2.0 * wrapped.b.T @ dense.grad)


def test_lt_sft_keeps_the_entries_that_changed_most_and_rewinds_the_rest(tiny_bert):
    method = method_named("lt_sft", density=0.1, select_share=0.5)
    anatomy = tiny_bert.adapted(method)
    start = {name: p.detach().clone() for name, p in anatomy.model.named_parameters()}
    candidates = [
        n for n, p in anatomy.model.named_parameters() if p.requires_grad and n not in anatomy.head
    ]  # fmt: skip
    assert not any("LayerNorm" in name for name in candidates)
    method.on_phase(anatomy, Phase("select", 0.5))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in anatomy.model.parameters():
            parameter += torch.randn_like(parameter) * parameter.requires_grad
    change = {name: (p - start[name]).abs() for name, p in anatomy.model.named_parameters() if name in candidates}
    method.on_phase(anatomy, Phase("tune", 0.5))

    everything = torch.cat([values.flatten() for values in change.values()])
    expected = round(0.1 * everything.numel())
    assert adapter_parameters(anatomy) == expected
    threshold = everything.sort(descending=True).values[expected - 1]
    with torch.no_grad():
        for name, parameter in anatomy.model.named_parameters():
            if name.endswith(".values"):
                parameter.fill_(1.0)
    method.merge(anatomy.model)
    for name, parameter in anatomy.model.named_parameters():
        mask = change[name] >= threshold if name in change else torch.zeros_like(parameter, dtype=torch.bool)
        torch.testing.assert_close(parameter, start[name] + mask.float(), msg=name)


def test_gradients_of_sparse_values_are_entries_of_the_dense_gradient(tiny_bert):
    batch, labels = tiny_bert.batch(), torch.tensor([0, 1, 2, 0])
    reference = tiny_bert.model()
    F.cross_entropy(reference(**batch).logits, labels).backward()
    dense = {name: p.grad for name, p in reference.named_parameters()}

    method = method_named("lt_sft", density=0.02)
    anatomy = tiny_bert.adapted(method)
    for phase in method.phases():
        method.on_phase(anatomy, phase)
    F.cross_entropy(logits(anatomy, batch), labels).backward()
    modules = dict(anatomy.model.named_modules())
    seen = 0
    for name, parameter in anatomy.model.named_parameters():
        if name.endswith(".values"):
            path, _, attribute = name.removesuffix(".0.values").rpartition(".parametrizations.")
            indices = modules[name.removesuffix(".values")].indices
            torch.testing.assert_close(parameter.grad, dense[f"{path}.{attribute}"].flatten()[indices])
            seen += indices.numel()
    assert seen == adapter_parameters(anatomy)


def test_what_lt_sft_stores_grows_with_density_not_with_the_model(tiny_bert):
    def stored(density: float) -> int:
        method = method_named("lt_sft", density=density)
        anatomy = tiny_bert.adapted(method)
        train(method, anatomy, tiny_bert.batch(), steps=1)
        state = method.state(anatomy.model)
        return sum(value.numel() for name, value in state.items() if name not in anatomy.head)

    assert stored(0.2) == pytest.approx(2 * stored(0.1), rel=0.01)


def test_a_prompt_is_read_as_embedded_tokens_would_be():
    """A prompt that holds the embeddings of real tokens gives what those tokens give."""
    for architecture, place in (("bert", 1), ("llama", 0)):
        tiny = Tiny(architecture)
        anatomy = tiny.adapted(method_named("prompt_tuning", length=4))
        tokens = torch.tensor([7, 8, 9, 10])
        with torch.no_grad():
            anatomy.backbone.prompt.vectors.copy_(anatomy.embeddings(tokens))
        batch = tiny.batch(padding=0)
        ids = batch["input_ids"]
        spelled = torch.cat([ids[:, :place], tokens.expand(len(ids), -1), ids[:, place:]], dim=1)
        expected = tiny.model()(input_ids=spelled, attention_mask=torch.ones_like(spelled)).logits
        torch.testing.assert_close(logits(anatomy, batch), expected, rtol=0, atol=1e-5)


def test_a_backbone_with_a_prompt_returns_the_positions_that_went_in(tiny):
    anatomy = tiny.adapted(method_named("prompt_tuning", length=4))
    assert anatomy.backbone(**tiny.batch()).last_hidden_state.shape[:2] == (4, 9)


def test_a_prefix_is_what_a_decoder_remembers_of_tokens_before():
    """Keys and values that OPT itself computes for four tokens, given as a prefix, give what its own cache gives."""
    tiny = Tiny("opt")
    model = tiny.model()
    before = torch.tensor([[7, 8, 9, 10]])
    ids = tiny.batch(padding=0)["input_ids"][:1]
    backbone = model.base_model
    cache = backbone(input_ids=before, use_cache=True).past_key_values
    expected = backbone(
        input_ids=ids, past_key_values=cache, attention_mask=torch.ones(1, 13), position_ids=torch.arange(4, 13)[None]
    ).last_hidden_state  # fmt: skip

    anatomy = tiny.adapted(method_named("prefix_tuning", length=4))
    again = backbone(input_ids=before, use_cache=True).past_key_values
    with torch.no_grad():
        for index, layer in enumerate(again.layers):
            anatomy.backbone.prefixes.values[index, 0] = layer.keys[0]
            anatomy.backbone.prefixes.values[index, 1] = layer.values[0]
    found = anatomy.backbone(
        input_ids=ids, attention_mask=torch.ones(1, 9), position_ids=torch.arange(4, 13)[None], use_cache=False
    ).last_hidden_state  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_prefix_attends_as_attention_written_by_hand(tiny_bert):
    anatomy = tiny_bert.adapted(method_named("prefix_tuning", length=3))
    batch = tiny_bert.batch()
    caught = {}
    attention = anatomy.layers[0].module.attention.self

    def keep(module, args, output):
        caught["in"], caught["out"] = args[0], output[0]

    attention.register_forward_hook(keep)
    anatomy.model(**batch)
    x, mask = caught["in"], batch["attention_mask"]

    def heads(projection):
        return projection(x).view(4, 9, 4, 8).transpose(1, 2)

    q, k, v = heads(attention.query), heads(attention.key), heads(attention.value)
    own_k, own_v = anatomy.backbone.prefixes.values[0]
    k = torch.cat([own_k.expand(4, -1, -1, -1), k], dim=2)
    v = torch.cat([own_v.expand(4, -1, -1, -1), v], dim=2)
    visible = torch.cat([torch.ones(4, 3), mask], dim=1)[:, None, None].bool()
    weights = (q @ k.transpose(2, 3) / math.sqrt(8)).masked_fill(~visible, -torch.inf).softmax(-1)
    torch.testing.assert_close(caught["out"], (weights @ v).transpose(1, 2).reshape(4, 9, 32), rtol=0, atol=1e-5)


def test_a_generated_prefix_is_stored_without_its_generator(tiny_bert):
    method = method_named("prefix_tuning", length=5, reparametrise=True, width=16)
    anatomy = tiny_bert.adapted(method)
    assert isinstance(anatomy.backbone.prefixes, GeneratedPrefixes)
    train(method, anatomy, tiny_bert.batch())
    state = method.state(anatomy.model)
    assert sum(v.numel() for n, v in state.items() if n not in anatomy.head) == 2 * 2 * 5 * 32
    fresh = tiny_bert.adapted(method)
    method.load_state(fresh.model, state)
    assert isinstance(fresh.backbone.prefixes, Prefixes)
    batch = tiny_bert.batch()
    torch.testing.assert_close(logits(fresh, batch), logits(anatomy, batch), rtol=0, atol=1e-6)


def test_houlsby_adapters_compute_their_formula_before_the_residual(tiny_bert):
    method = method_named("houlsby", bottleneck=4, activation="relu")
    anatomy = tiny_bert.adapted(method)
    train(method, anatomy, tiny_bert.batch())
    for name in ("attention_output", "ffn_out"):
        module = anatomy.layers[1].site(name).module
        x = torch.randn(2, 5, 32 if name == "attention_output" else 48)
        h, adapter = module.base(x), module.inserted
        inner = torch.relu(h @ adapter.down.weight.T + adapter.down.bias)
        torch.testing.assert_close(module(x), h + inner @ adapter.up.weight.T + adapter.up.bias)


def test_hyperformer_gives_every_layer_an_adapter_of_its_own_from_one_network(tiny_bert):
    method = method_named("hyperformer", bottleneck=4, embedding=6)
    anatomy = tiny_bert.adapted(method)
    per_adapter = 4 * 32 + 4 + 32 * 4 + 32 + 32 + 32
    mlp = 12 * 6 + 6 + 6 * 6 + 6 + 2 * 6
    assert adapter_parameters(anatomy) == (1 + 2) * 6 + mlp + 2 * (6 + 1) * per_adapter
    train(method, anatomy, tiny_bert.batch())
    anatomy.model(**tiny_bert.batch())
    first, second = (layer.site("ffn_out").module.inserted.weights for layer in anatomy.layers)
    assert not torch.allclose(first["down"], second["down"])
    source = anatomy.backbone.hypernetwork
    embedded = source.mlp(torch.cat([source.tasks[0], source.layers[1]]))
    expected = source.maps["ffn_out"]["down"](embedded).view(4, 32)
    torch.testing.assert_close(second["down"], expected)


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
        ("houlsby", {"activation": "sine"}, "'gelu', 'relu'"),
        ("prompt_tuning", {"length": 0}, "greater than or equal to 1"),
        ("full", {"lr": 0}, "greater than 0"),
        ("full", {"rank": 8}, "not permitted"),
    ],
)
def test_wrong_hyperparameters_are_refused_with_the_valid_range(name, wrong, told):
    with pytest.raises(ValidationError, match=told):
        method_named(name, **wrong)


def test_a_rank_above_the_dimension_does_not_apply(tiny_bert):
    assert "rank 33 is above 32" in method_named("lora", rank=33).unsupported(tiny_bert.anatomy(), None)


def test_an_architecture_that_is_not_described_is_refused_in_one_line():
    config = AutoConfig.for_model("bloom", hidden_size=32, n_layer=1, n_head=2, vocab_size=60)
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(UnsupportedBackbone, match=r"'bloom' is not described; known: bert, .*methods/anatomy\.py"):
        Anatomy(model, set())


@pytest.mark.parametrize("name", METHODS)
def test_cards_are_complete(name):
    cls = type(method_named(name))
    card = cls.card
    assert f"{{{card.citation}," in card.bibtex
    assert all(f"{{{claim.source}," in card.bibtex for claim in card.claims)
    assert len(card.summary) > 100
    assert card.formula
