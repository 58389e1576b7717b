"""Soft prompts against their formulas written out, and against huggingface/peft's encoders with the same parameters."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from methods.adapters.mam import MAM
from methods.anatomy import Anatomy
from methods.hypernetworks.hyperprompt import HyperPrompt
from methods.prompts.p_tuning import PTuning
from methods.prompts.p_tuning_v2 import PTuningV2
from methods.prompts.prefix_tuning import FreePrefix, PrefixTuning
from methods.prompts.prompt_tuning import PromptTuning
from methods.prompts.spot import SPoT
from tests.methods.test_methods import BASE, real_shape
from tests.methods.tiny import (
    CONFIGS,
    ENCODER_DECODERS,
    TASK,
    Task,
    adapt,
    adapter_size,
    batch,
    head_of,
    logits,
    perturb,
    step,
    tiny,
    trainable,
)


def lstm_by_hand(x: Tensor, weights: dict[str, Tensor], layer: int, suffix: str) -> Tensor:
    """One layer of an LSTM in one direction over x (length, size), gate by gate."""
    w_in, w_h = weights[f"weight_ih_l{layer}{suffix}"], weights[f"weight_hh_l{layer}{suffix}"]
    bias = weights[f"bias_ih_l{layer}{suffix}"] + weights[f"bias_hh_l{layer}{suffix}"]
    hidden = cell = torch.zeros(w_h.shape[1])
    found = []
    for row in x.flip(0) if suffix else x:
        gates = w_in @ row + w_h @ hidden + bias
        enter, forget, new, leave = gates.chunk(4)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        found.append(hidden)
    return torch.stack(found).flip(0) if suffix else torch.stack(found)


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
def test_p_tuning_stores_what_its_encoder_gives(encoder):
    method = PTuning(length=5, width=6, encoder=encoder)
    anatomy = adapt(method, tiny("bert"), train=True)
    perturb(trainable(anatomy.model).items())
    source = anatomy.backbone.prompt.encoder
    x, mlp = source.embedding.detach(), source.mlp
    if encoder == "lstm":
        weights = {name: p.detach() for name, p in source.lstm.named_parameters()}
        for layer in (0, 1):
            x = torch.cat([lstm_by_hand(x, weights, layer, ""), lstm_by_hand(x, weights, layer, "_reverse")], dim=1)
        layers = (mlp[0], mlp[2])
        assert mlp[0].weight.shape == (12, 12) and mlp[2].weight.shape == (32, 12)
    else:
        layers = (mlp[0], mlp[2], mlp[4])
        assert [tuple(each.weight.shape) for each in layers] == [(6, 32), (6, 6), (32, 6)]
    for index, each in enumerate(layers):
        x = (x.clamp(min=0) if index else x) @ each.weight.detach().T + each.bias.detach()

    state = method.state(anatomy.model)
    stored = {name: value for name, value in state.items() if name not in anatomy.head}
    assert list(stored) == ["bert.prompt.vectors"]
    torch.testing.assert_close(stored["bert.prompt.vectors"], x, rtol=0, atol=1e-5)

    fresh = adapt(method, tiny("bert"))
    method.load_state(fresh.model, state)
    assert fresh.backbone.prompt.encoder is None
    assert adapter_size(fresh) == 5 * 32
    torch.testing.assert_close(logits(fresh.model, batch()), logits(anatomy.model, batch()), rtol=0, atol=1e-6)
    step(fresh.model, "bert")  # and the prompt can be trained on
    assert not torch.equal(fresh.backbone.prompt.vectors, x)


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
def test_the_prompt_encoder_is_that_of_peft(encoder):
    peft = pytest.importorskip("peft")
    anatomy = adapt(PTuning(length=5, width=6, encoder=encoder), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    config = peft.PromptEncoderConfig(
        num_virtual_tokens=5, token_dim=32, encoder_hidden_size=6, encoder_reparameterization_type=encoder.upper(),
        num_transformer_submodules=1,
    )  # fmt: skip
    theirs, ours = peft.PromptEncoder(config), anatomy.backbone.prompt.encoder
    names = {"embedding": "embedding.weight"}
    theirs.load_state_dict(
        {names.get(n, n.replace("lstm.", "lstm_head.").replace("mlp.", "mlp_head.")): p.detach()
         for n, p in ours.named_parameters()}
    )  # fmt: skip
    torch.testing.assert_close(ours(), theirs(torch.arange(5)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "count"),
    [
        # Two layers in two directions, with four gates of a matrix for the input, one for the state, and two biases.
        (PTuning(length=20, width=64),
         20 * 768 + 8 * 64 * (768 + 64 + 2) + 8 * 64 * (128 + 64 + 2) + 128 * 128 + 128 + 128 * 768 + 768),
        (PTuning(length=20, width=64, encoder="mlp"), 20 * 768 + 768 * 64 + 64 + 64 * 64 + 64 + 64 * 768 + 768),
        # As prefix tuning: keys and values of every layer, or the network that gives them.
        (PTuningV2(length=20), 12 * 2 * 20 * 768),
        (PTuningV2(length=20, reparametrise=True, width=512),
         20 * 768 + 768 * 512 + 512 + 512 * (12 * 2 * 768) + 12 * 2 * 768),
        (SPoT(length=100), 100 * 768),
        (PromptTuning(length=30, init="text", init_token_ids=(5, 6, 7)), 30 * 768),
    ],
)  # fmt: skip
def test_parameter_counts(method, count):
    anatomy = real_shape("bert", **BASE)
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


@pytest.mark.parametrize(
    ("method", "count", "percent"),
    [
        # Li and Liang: 200 keys and values in each of 12 attentions of the encoder and 24 of the decoder.
        (PrefixTuning(length=200), 200 * 2 * 1024 * 36, 3.6),
        # He et al.: 30 of them, and an adapter of width 512 beside each of 24 feed-forward blocks.
        (MAM(length=30, bottleneck=512), 30 * 2 * 1024 * 36 + 24 * (2 * 1024 * 512 + 512 + 1024), 6.7),
    ],
)
def test_the_share_of_bart_large_is_what_its_paper_prints(method, count, percent):
    anatomy = real_shape("bart")
    assert anatomy.num_backbone_parameters == 406_291_456
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count
    assert round(100 * count / anatomy.num_backbone_parameters, 1) == percent


def test_each_kind_of_attention_has_a_network_of_its_own():
    """As the authors' code has three: for the encoder, for the decoder, and for the decoder's attention to it."""
    anatomy = real_shape("bart")
    PrefixTuning(length=200, reparametrise=True, width=800).adapt(anatomy, TASK)
    one = 200 * 1024 + 1024 * 800 + 800 + 12 * (800 * 2 * 1024 + 2 * 1024)
    assert adapter_size(anatomy) == 3 * one


@pytest.mark.parametrize(
    ("architecture", "shape", "count"),
    [
        # Llama-3-8B, Mistral-7B, and Qwen3-0.6B, whose heads are larger than their share of the hidden size.
        ("llama", {"vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                   "num_key_value_heads": 8, "intermediate_size": 14336}, 34_177_536),
        ("mistral", {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                     "num_key_value_heads": 8}, 34_177_536),
        ("qwen3", {"vocab_size": 151936, "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
                   "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072},
         32 * 1024 + 1024 * 512 + 512 + 28 * (512 * 2 * 1024 + 2 * 1024)),
        ("llama", {"hidden_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 32, "num_key_value_heads": 1},
         32 * 128 + 128 * 512 + 512 + 4 * (512 * 2 * 128 + 2 * 128)),
        ("gpt2", {}, 32 * 768 + 768 * 512 + 512 + 12 * (512 * 2 * 768 + 2 * 768)),
    ],
)  # fmt: skip
def test_the_prefix_encoder_is_as_large_as_that_of_peft(architecture, shape, count):
    peft = pytest.importorskip("peft")
    anatomy = real_shape(architecture, **shape)
    PrefixTuning(length=32, reparametrise=True, width=512).adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count

    asked = peft.PrefixTuningConfig(
        task_type="SEQ_CLS", num_virtual_tokens=32, encoder_hidden_size=512, prefix_projection=True
    )
    config = AutoConfig.for_model(architecture, num_labels=2, pad_token_id=0, **shape)
    with torch.device("meta"):
        theirs = peft.get_peft_model(type(anatomy.model)(config), asked)
    assert sum(p.numel() for p in theirs.prompt_encoder.parameters()) == count


@pytest.mark.parametrize(("architecture", "head_dim"), [("bart", 8), ("t5", 6)])
def test_a_prefix_is_seen_where_a_decoder_attends_to_its_encoder(architecture, head_dim):
    """Against attention written by hand, with padding in the encoder's input."""
    anatomy = adapt(PrefixTuning(length=3), tiny(architecture))
    perturb(trainable(anatomy.model).items())
    layer = anatomy.layers[-1]
    attention, caught = layer.cross_attention, {}

    def keep(module, args, kwargs, output):
        caught["to"], caught["out"] = args[0] if args else kwargs["hidden_states"], output[0]
        caught["from"] = kwargs["key_value_states"]

    attention.register_forward_hook(keep, with_kwargs=True)
    inputs = batch(architecture)
    inputs["attention_mask"][1:, 5:8] = 0
    logits(anatomy.model, inputs)

    def heads(name, x):
        return layer.cross[name].module(x).view(3, 10, 4, head_dim).transpose(1, 2)

    q, k, v = heads("query", caught["to"]), heads("key", caught["from"]), heads("value", caught["from"])
    k = torch.cat([attention.prefix.key.expand(3, -1, -1, -1), k], dim=2)
    v = torch.cat([attention.prefix.value.expand(3, -1, -1, -1), v], dim=2)
    visible = torch.cat([torch.ones(3, 3), inputs["attention_mask"]], dim=1)[:, None, None].bool()
    scale = 1 / math.sqrt(head_dim) if architecture == "bart" else 1.0  # T5 does not scale, and has no bias here
    weights = (scale * q @ k.transpose(2, 3)).masked_fill(~visible, -torch.inf).softmax(-1)
    mixed = (weights @ v).transpose(1, 2).reshape(3, 10, 4 * head_dim)
    expected = layer.cross["attention_output"].module(mixed)
    torch.testing.assert_close(caught["out"], expected, rtol=0, atol=1e-5)
    assert weights[..., :3].sum(-1).min() > 1e-3


def places(anatomy: Anatomy) -> set[str]:
    """Which attention has a prefix, by module name."""
    return {name.removesuffix(".prefix") for name, _ in anatomy.model.named_modules() if name.endswith(".prefix")}


@pytest.mark.parametrize(
    ("architecture", "own", "cross"),
    [
        ("bart", ["encoder.layers.{}.self_attn", "decoder.layers.{}.self_attn"], "decoder.layers.{}.encoder_attn"),
        ("t5", ["encoder.block.{}.layer.0.SelfAttention", "decoder.block.{}.layer.0.SelfAttention"],
         "decoder.block.{}.layer.1.EncDecAttention"),
    ],
)  # fmt: skip
def test_which_attention_has_a_prefix(architecture, own, cross):
    def named(paths: list[str]) -> set[str]:
        return {f"{tiny(architecture).base_model_prefix}.{path.format(layer)}" for path in paths for layer in (0, 1)}

    for method in (PrefixTuning(length=3), PTuningV2(length=3), MAM(length=3, bottleneck=4)):
        assert places(adapt(method, tiny(architecture))) == named([*own, cross])
    assert places(adapt(HyperPrompt(length=3), tiny(architecture))) == named(own)


@pytest.mark.parametrize(
    "method",
    [PrefixTuning(length=3), MAM(length=3, bottleneck=4), HyperPrompt(length=3), PromptTuning(length=3)],
    ids=lambda method: method.card.name,
)
@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_generation_with_a_cache_gives_what_it_gives_without(architecture, method):
    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(architecture, **CONFIGS[architecture])).eval()
    perturb(model.named_parameters(), 0.1)
    method.adapt(Anatomy(model, frozenset()), TASK)
    perturb(trainable(model).items(), 0.5)
    inputs = batch(architecture)
    inputs["attention_mask"][1:, 6:] = 0
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "output_scores": True, "return_dict_in_generate": True}
    for beams in (1, 2):
        cached, plain = (
            model.generate(**inputs, **options, num_beams=beams, use_cache=use, do_sample=False)
            for use in (True, False)
        )
        assert torch.equal(cached.sequences, plain.sequences)
        torch.testing.assert_close(torch.stack(cached.scores), torch.stack(plain.scores), rtol=0, atol=1e-4)
    alone = {name: value[1:2, :6] for name, value in inputs.items()}
    short = model.generate(**alone, **options, do_sample=False)
    together = model.generate(**inputs, **options, do_sample=False)
    assert torch.equal(short.sequences[0], together.sequences[1])


def test_p_tuning_v2_gives_all_layers_what_the_prefix_encoder_of_peft_gives():
    peft = pytest.importorskip("peft")
    anatomy = adapt(PTuningV2(length=5, reparametrise=True, width=6), tiny("bert"))
    perturb(trainable(anatomy.model).items())
    theirs = peft.PrefixEncoder(
        peft.PrefixTuningConfig(
            num_virtual_tokens=5,
            token_dim=32,
            encoder_hidden_size=6,
            num_layers=2,
            prefix_projection=True,
            num_transformer_submodules=1,
            num_attention_heads=4,
        )
    )
    prefixes = [layer.attention.prefix for layer in anatomy.layers]
    shared = prefixes[0].shared
    theirs.load_state_dict({
        "embedding.weight": shared.embedding.detach(),
        "transform.0.weight": shared.project.weight.detach(), "transform.0.bias": shared.project.bias.detach(),
        "transform.2.weight": torch.cat([prefix.own.weight.detach() for prefix in prefixes]),
        "transform.2.bias": torch.cat([prefix.own.bias.detach() for prefix in prefixes]),
    })  # fmt: skip
    # (length, layers · keys and values · heads · size of a head), as peft hands it to attention.
    rows = theirs(torch.arange(5)).view(5, 2, 2, 4, 8)
    for index, prefix in enumerate(prefixes):
        key, value = prefix()
        assert key.shape == value.shape == (4, 5, 8)
        torch.testing.assert_close(key, rows[:, index, 0].transpose(0, 1), rtol=0, atol=1e-6)
        torch.testing.assert_close(value, rows[:, index, 1].transpose(0, 1), rtol=0, atol=1e-6)


def test_p_tuning_v2_drops_entries_of_prefixes_while_training_alone():
    method = PTuningV2(length=50, dropout=0.5)
    anatomy = adapt(method, tiny("bert"))
    prefix = anatomy.layers[0].attention.prefix
    assert torch.equal(prefix()[0], prefix.key)
    prefix.train()
    key, value = prefix()
    for part, whole in ((key, prefix.key), (value, prefix.value)):
        dropped = part == 0
        assert 0.4 < dropped.float().mean() < 0.6
        torch.testing.assert_close(part[~dropped], 2 * whole[~dropped])
    state = method.state(anatomy.model)
    assert prefix.training and torch.equal(state["bert.encoder.layer.0.attention.self.prefix.key"], prefix.key)
    method.load_state(anatomy.model, state)
    loaded = anatomy.layers[0].attention.prefix
    assert isinstance(loaded, FreePrefix) and loaded.dropout == 0.5


def test_a_prompt_starts_from_the_embeddings_of_given_tokens():
    anatomy = adapt(PromptTuning(length=5, init="text", init_token_ids=(7, 8, 9)), tiny("bert"))
    words = anatomy.word_embeddings.weight
    assert torch.equal(anatomy.backbone.prompt.vectors, words[[7, 8, 9, 7, 8]])


@pytest.mark.parametrize("wrong", [{"init": "text"}, {"init_token_ids": (3,)}, {"init": "text", "init_token_ids": ()}])
def test_token_ids_come_with_the_init_that_reads_them(wrong):
    with pytest.raises(ValidationError, match="init_token_ids must be given with init text, and with no other"):
        PromptTuning(**wrong)


@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("architecture", ["gpt2", "opt", "llama"])
def test_positions_given_with_a_batch_that_is_padded_on_the_left_are_counted_from_the_prompt(architecture, fill):
    """Whatever stands where there is only padding."""
    model = tiny(architecture)
    adapt(PromptTuning(length=5), model)
    inputs = batch(architecture)
    expected = logits(model, inputs)
    pads = {"input_ids": 1, "attention_mask": 0}
    padded = {name: F.pad(value, (4, 0), value=pads[name]) for name, value in inputs.items()}
    positions = F.pad(torch.arange(10).expand(3, -1), (4, 0), value=fill)
    found = logits(model, padded | {"position_ids": positions})
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (PromptTuning(length=64), "a prompt of 64 leaves no room in the backbone's 64 positions; it takes 1 to 63"),
        (PTuning(length=64), "a prompt of 64 leaves no room in the backbone's 64 positions; it takes 1 to 63"),
        (SPoT(length=63), None),
        (PromptTuning(init="text", init_token_ids=(98, 99)),
         "token 99 is not in the vocabulary; init_token_ids take 0 to 98"),
        (PromptTuning(init="text", init_token_ids=(0, 98)), None),
    ],
)  # fmt: skip
def test_what_a_backbone_does_not_allow_is_told_with_the_valid_range(method, told):
    model = tiny("bert")
    assert method.out_of_range(Anatomy(model, head_of(model))) == told


def test_spot_carries_the_prompt_over_and_resets_the_head():
    method = SPoT(length=5, source="elsewhere", source_share=0.25)
    source, tune = method.phases()
    assert (source.task, source.share) == ("elsewhere", 0.25)
    assert (tune.task, tune.share) == (None, 0.75)

    model = tiny("bert")
    anatomy = Anatomy(model, head_of(model))
    start = {name: p.detach().clone() for name, p in model.named_parameters() if name in anatomy.head}
    method.adapt(anatomy, TASK)
    method.on_phase(anatomy, source, 1)
    assert all(torch.equal(model.get_parameter(name), value) for name, value in start.items())
    step(model, "bert")
    learnt = anatomy.backbone.prompt.vectors.detach().clone()
    assert not any(torch.equal(model.get_parameter(name), value) for name, value in start.items())
    method.on_phase(anatomy, tune, 1)
    assert torch.equal(anatomy.backbone.prompt.vectors, learnt)
    assert all(torch.equal(model.get_parameter(name), value) for name, value in start.items())


def test_spot_does_not_start_a_task_from_itself():
    model = tiny("bert")
    anatomy = Anatomy(model, head_of(model))
    assert SPoT(source="toy").unsupported(anatomy, TASK).startswith("toy is the source of the prompt")
    mixture = Task("both", "mixture", ("toy", "imdb"))
    assert "its own source" in SPoT().unsupported(anatomy, mixture)
    assert SPoT().unsupported(anatomy, TASK) is None


def test_an_encoded_prompt_is_kept_between_evaluation_batches_and_follows_its_encoder():
    anatomy = adapt(PTuning(length=3, width=4, encoder="mlp"), tiny("bert"))
    prompt = anatomy.backbone.prompt
    with torch.no_grad():
        first = prompt()
        assert prompt() is first
        prompt.encoder.mlp[4].bias += 1
        torch.testing.assert_close(prompt(), first + 1)
    assert prompt().requires_grad


def test_a_prefix_for_each_example_is_read_by_its_own_copies():
    """As with beams or choices, where every example of the batch stands several times in a row."""
    anatomy = adapt(PTuningV2(length=3), tiny("bert"))
    inputs = batch("bert", size=2)
    own = [(torch.randn(2, 4, 3, 8), torch.randn(2, 4, 3, 8)) for _ in anatomy.layers]

    def read(example: slice, given: dict[str, Tensor]) -> Tensor:
        for layer, parts in zip(anatomy.layers, own, strict=True):
            chosen = tuple(part[example] for part in parts)
            layer.attention.prefix.forward = lambda chosen=chosen: chosen
        return logits(anatomy.model, given)

    twice = {name: value.repeat_interleave(2, dim=0) for name, value in inputs.items()}
    found = read(slice(0, 2), twice)
    for example in (0, 1):
        alone = read(
            slice(example, example + 1), {name: value[example : example + 1] for name, value in inputs.items()}
        )
        torch.testing.assert_close(found[2 * example : 2 * example + 2], alone.expand(2, -1), rtol=0, atol=1e-5)
    assert not torch.allclose(F.normalize(found[0], dim=0), F.normalize(found[2], dim=0), atol=1e-3)
