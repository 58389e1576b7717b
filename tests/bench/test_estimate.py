"""What is estimated without running is what a profile counts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from bench import measuring, split
from bench.backbones import Backbone
from bench.estimate import Shape, estimate, largest_batch
from bench.forms.base import Head
from bench.forms.sequence import Classification
from bench.profiling import count_parameters, profile
from bench.registry import Registry
from methods.anatomy import Anatomy
from records.cell import Budget
from tests.bench import tokenizers

# Dropout on attention's probabilities makes PyTorch keep them on a processor, and only there.
CONFIGS = {
    "bert": {
        "model_type": "bert", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 128, "attention_probs_dropout_prob": 0.0,
    },
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 3, "n_head": 4, "attn_pdrop": 0.0,
        "pad_token_id": 0,
    },
    "llama": {
        "model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "pad_token_id": 0,
    },
}  # fmt: skip
METHODS = ("full", "head", "layernorm", "lora", "pfeiffer", "ia3", "prefix_tuning", "hyperlora")
BATCH, LENGTH = 4, 24


def backbone(folder: Path, name: str) -> Backbone:
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    return Backbone.find(f"config:{folder}")


def method(name: str):
    return Registry().get("methods", name).cls()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("architecture", CONFIGS)
def test_it_is_what_a_profile_counts(tmp_path, monkeypatch, architecture, name):
    found = backbone(tmp_path, architecture)
    guess = estimate(found, method(name), Shape(BATCH, LENGTH, outputs=2, autocast=False))

    monkeypatch.setattr(measuring, "PAIRS_A_ROUND", 2)
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    monkeypatch.setitem(split.SIZES, "cpu", 64)
    task = SimpleNamespace(name="t", kind="classification", members=("t",))
    own = method(name)
    model, head = found.load(Head("sequence", 2), 0)
    plain, _ = found.load(Head("sequence", 2), 0)
    count = sum(p.numel() for each, p in model.named_parameters() if each not in head)
    anatomy = Anatomy(model, head)
    own.adapt(anatomy, task)
    trainable = {each: p.numel() for each, p in model.named_parameters() if p.requires_grad}
    parameters = count_parameters(head, trainable, count)
    form = Classification(SimpleNamespace(card=SimpleNamespace(labels=("no", "yes"))), tokenizers.make("byte"), LENGTH)
    budget = Budget(batch_size=BATCH, max_length=LENGTH)
    cost = profile(Accelerator(cpu=True), 0, anatomy, own, plain, budget, form)

    assert (guess.trained, guess.head, guess.backbone) == (parameters.adapter, parameters.head, parameters.backbone)
    assert guess.percent == pytest.approx(parameters.percent)
    for field in ("stored_bytes", "gradient_bytes", "optimizer_bytes", "train_flops"):
        assert getattr(guess, field) == getattr(cost, field), field
    assert guess.weights_bytes == pytest.approx(cost.weights_bytes, rel=0.02)
    assert guess.activation_bytes == pytest.approx(cost.activation_bytes, rel=0.1, abs=1000)


def test_the_largest_batch_is_the_last_that_fits(tmp_path):
    found, lora = backbone(tmp_path, "llama"), method("lora")
    memory = 5_000_000
    most = largest_batch(found, lora, Shape(length=LENGTH), memory)
    fits, does_not = (estimate(found, lora, Shape(batch=n, length=LENGTH)) for n in (most, most + 1))
    assert fits.memory_bytes <= memory < does_not.memory_bytes
    assert largest_batch(found, lora, Shape(length=LENGTH), 1000) == 0


def test_four_bits_hold_projections_and_nothing_else(tmp_path):
    """Of Llama: four of attention and three of the feed-forward block in every layer; embeddings and norms stay."""
    found = backbone(tmp_path, "llama")
    guess = estimate(found, method("head"), Shape(BATCH, LENGTH, weights="nf4"))
    projections = 3 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96)
    rest = 300 * 64 + 7 * 64
    buffers = 2 * 8 * 4  # rotary frequencies, twice
    expected = projections * (0.5 + 1 / 64 + 4 / (64 * 256)) + 2 * rest + 4 * 2 * 64 + buffers
    assert guess.weights_bytes == pytest.approx(expected, rel=0.005)


def test_checkpointed_layers_keep_their_inputs_and_one_what_it_needs(tmp_path, monkeypatch):
    """So three layers more keep three inputs more, and without checkpoints far more."""
    found = {}
    for layers in (3, 6):
        monkeypatch.setitem(CONFIGS, "deep", CONFIGS["bert"] | {"num_hidden_layers": layers})
        (tmp_path / str(layers)).mkdir()
        for checkpointing in (False, True):
            shape = Shape(BATCH, LENGTH, autocast=False, checkpointing=checkpointing)
            guess = estimate(backbone(tmp_path / str(layers), "deep"), method("full"), shape)
            found[layers, checkpointing] = guess.activation_bytes
    inputs = 3 * BATCH * LENGTH * 64 * 4
    assert found[6, True] - found[3, True] == pytest.approx(inputs, abs=8)
    assert found[6, False] - found[3, False] > 5 * inputs
    assert found[3, True] < found[3, False]


@pytest.mark.exhaustive
def test_seventy_billion_parameters_are_counted_and_not_held(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({
        "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
    }))  # fmt: skip
    found = estimate(Backbone.find(f"config:{tmp_path}"), method("lora"), Shape(1, 128, text=True, weights="bf16"))
    # As its authors count: 70.6 billion (Grattafiori et al. 2024); LoRA of rank 8 on query and value.
    assert found.backbone == pytest.approx(70.55e9, rel=0.001)
    assert found.trained == 80 * 8 * (2 * 8192 + 8192 + 1024)
    assert found.weights_bytes == pytest.approx(2 * 70.55e9, rel=0.01)
    # Two operations a parameter and token forward, and two for activations' gradients; no weight has one.
    assert found.train_flops == pytest.approx(4 * 128 * 70.55e9, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--methods", "lorra"), "--methods: unknown method 'lorra'; did you mean 'lora'?"),
        (("--fits", "80"), "takes a size such as 80GB or 24GiB, not '80'"),
        (("--batch", "0"), "takes a whole number from 1, not '0'"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line(tmp_path, bench, arguments, said):
    found = bench("estimate", f"config:{tmp_path}", *arguments)
    assert found.returncode and said in found.stderr


def test_the_table_says_what_fits_and_what_cannot_be_counted(tmp_path, bench):
    backbone(tmp_path, "llama")
    found = bench("estimate", f"config:{tmp_path}", "--methods", "lora,lt_sft", "--fits", "1MB")
    assert found.returncode == 0, found.stderr
    assert "batch that fits" in found.stdout
    assert "lt_sft: not counted: it chooses by values what it trains" in found.stdout
    assert torch.get_default_dtype() == torch.float32
