"""Methods of huggingface/peft in this frame: every type the installed version has, on an encoder and a decoder."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

pytest.importorskip("peft")

from bench import registry
from bench.registry import PluginError, Registry
from bench.suite import Suite, SuiteError
from methods.anatomy import Anatomy
from methods.base import Method, Phase
from tests.methods.tiny import (
    CONFIGS,
    ENCODER_DECODERS,
    TASK,
    VOCABULARY,
    adapter_size,
    batch,
    head_of,
    logits,
    perturb,
    step,
    tiny,
    trainable,
)  # fmt: skip

NAMES = Registry().names_in("peft")
LABELS = torch.tensor([0, 1, 2])
STEPS = 20

# peft's defaults are made for large models; some types have no default for what they need.
OPTIONS: dict[str, dict] = {
    "peft:adaption_prompt": {"adapter_len": 4, "adapter_layers": 2},
    "peft:c3a": {"block_size": 8},
    "peft:fourierft": {"n_frequency": 100},
    "peft:miss": {"r": 8},
    "peft:psoft": {"r": 8},
    "peft:road": {"group_size": 16},
    "peft:shira": {"r": 4},
    "peft:trainable_tokens": {"token_indices": [3, 4, 5, 6, 7, 8]},
    "peft:vblora": {"vector_length": 16, "num_vectors": 8},
    "peft:waveft": {"n_frequency": 100},
}
# What peft does not offer here, by a part of what it says.
REFUSED: dict[tuple[str, str], str] = {
    **{("peft:cpt", name): "CAUSAL_LM" for name in ("bert", "llama")},
    **{("peft:xlora", name): "trained before" for name in ("bert", "llama")},
    ("peft:adaption_prompt", "bert"): "Unsupported model type",
    ("peft:shadow", "bert"): "decoder layers",
}
# `make test` tries every type on one of the two, and those that most is made of on both.
BOTH = ("peft:lora", "peft:ia3", "peft:prefix_tuning")
PAIRS = [
    pytest.param(
        name,
        architecture,
        marks=[pytest.mark.exhaustive]
        if architecture == "llama" and (name, "bert") not in REFUSED and name not in BOTH
        else [],
    )
    for name in NAMES
    for architecture in ("bert", "llama")
    if (name, architecture) not in REFUSED
]
EVERY = pytest.mark.parametrize(("name", "architecture"), PAIRS)
# Which peft merges, tried without a bias to merge into where there is none.
UNMERGED = {
    "peft:adaption_prompt", "peft:cartridge", "peft:lily", "peft:multitask_prompt_tuning", "peft:p_tuning",
    "peft:poly", "peft:prefix_tuning", "peft:prompt_tuning", "peft:shadow",
}  # fmt: skip
# Parameters that have no part in the last layer's output, which peft trains all the same.
IDLE = {("peft:shadow", "llama"): "model.layers.1.shadow_update"}


def method(name: str, **options) -> Method:
    return Registry().get("methods", name).cls(**OPTIONS.get(name, {}) | options)


def adapted(name: str, architecture: str, seed: int = 0) -> Anatomy:
    anatomy = Anatomy(model := tiny(architecture), head_of(tiny(architecture)))
    torch.manual_seed(seed)
    bridge = method(name)
    bridge.adapt(anatomy, TASK)
    bridge.on_phase(anatomy, Phase("tune", 1.0), STEPS)
    model.eval()
    return anatomy


def test_more_than_thirty_five_are_listed(bench):
    assert len(NAMES) > 35
    plain = bench("list")
    assert "peft:<type>" in plain.stdout and "peft:lora" not in plain.stdout
    listed = {line.split()[0] for line in bench("list", "methods").stdout.splitlines() if line.strip()}
    assert set(NAMES) <= listed and "lora" in listed


@pytest.mark.parametrize("name", NAMES)
def test_cards_and_options(name):
    import peft

    plugin = Registry().get("methods", name)
    card = plugin.cls.card
    assert (card.name, card.citation) == (name, "mangrulkar2022peft") == (plugin.name, card.citation)
    assert peft.__version__ in plugin.revision
    assert "{mangrulkar2022peft," in card.bibtex and len(card.summary) > 100 and card.formula
    assert "documentation" not in card.summary.split(":")[1].split(".")[0], "the type is missing from the table"
    # What a record holds is enough to make the same method again.
    made = method(name)
    assert type(made)(**made.hyperparameters()).hyperparameters() == made.hyperparameters()


def test_options_are_those_of_pefts_configuration():
    import dataclasses

    import peft

    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    config = method("peft:lora", r=3, lora_alpha=7, use_dora=True).config(anatomy)
    expected = peft.LoraConfig(r=3, lora_alpha=7, use_dora=True)
    assert dataclasses.asdict(config) == dataclasses.asdict(expected)


@EVERY
def test_only_the_types_parameters_and_the_head_are_trained_and_the_loss_falls(name, architecture):
    bridge = method(name)
    plain, model = tiny(architecture), tiny(architecture)
    assert bridge.unsupported(Anatomy(model, head_of(model)), TASK) is None
    assert model.state_dict().keys() == plain.state_dict().keys(), "trying left something behind"
    anatomy = adapted(name, architecture)
    model, named = anatomy.model, trainable(anatomy.model)
    assert anatomy.head <= named.keys()
    assert adapter_size(anatomy) > 0
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if n not in named}
    start = {n: p.detach().clone() for n, p in named.items()}
    optimizer = torch.optim.AdamW(named.values(), lr=2e-2, fused=True)
    losses = []
    for number in range(1, STEPS + 1):
        loss = F.cross_entropy(model(**batch(architecture)).logits, LABELS)
        loss.backward()
        idle = IDLE.get((name, architecture), "none")
        for parameter, value in model.named_parameters():
            assert (value.grad is not None) == (parameter in named) or parameter.startswith(idle), parameter
        bridge.after_backward(anatomy, number)
        optimizer.step()
        optimizer.zero_grad()
        bridge.after_step(anatomy, number, optimizer)
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.02
    assert any(not torch.equal(p, start[n]) for n, p in named.items() if n not in anatomy.head)
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)


@EVERY
def test_the_engine_can_store_copy_and_pad(name, architecture):
    bridge, anatomy, inputs = method(name), adapted(name, architecture), batch(architecture)
    model = anatomy.model
    step(model, architecture)
    perturb(trainable(model).items())
    expected = logits(model, inputs)
    state = {key: value.clone() for key, value in bridge.state(model).items()}
    assert anatomy.head <= state.keys()
    fresh = adapted(name, architecture, seed=1).model
    assert (logits(fresh, inputs) - expected).abs().max() > 1e-3
    bridge.load_state(fresh, state)
    torch.testing.assert_close(logits(fresh, inputs), expected, rtol=0, atol=1e-5)

    twin = copy.deepcopy(model)
    perturb(trainable(model).items())
    torch.testing.assert_close(logits(twin, inputs), expected, rtol=0, atol=1e-6)
    assert (logits(model, inputs) - expected).abs().max() > 1e-3

    if name == "peft:lily":
        return  # which mixes its factors by a mean over all positions, padding included
    fill = {"input_ids": 1, "attention_mask": 0, "token_type_ids": 0}
    padded = {key: F.pad(value, (0, 4), value=fill[key]) for key, value in inputs.items()}
    torch.testing.assert_close(logits(twin, padded), expected, rtol=0, atol=1e-4)


@EVERY
def test_merging_leaves_the_plain_architecture_or_changes_nothing(name, architecture):
    bridge, anatomy, inputs = method(name), adapted(name, architecture), batch(architecture)
    model, plain = anatomy.model, tiny(architecture)
    step(model, architecture)
    expected, before = logits(model, inputs), {type(m) for m in model.modules()}
    merged = bridge.merge(model)
    torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-4)
    if (name, architecture) == ("peft:beft", "llama"):
        assert not merged  # its bias has no bias to be merged into
    else:
        assert merged == (name not in UNMERGED)
    if merged:
        assert model.state_dict().keys() == plain.state_dict().keys()
        assert {type(m) for m in model.modules()} == {type(m) for m in plain.modules()}
    else:
        assert {type(m) for m in model.modules()} == before


@pytest.mark.parametrize(("name", "architecture"), REFUSED)
def test_what_peft_refuses_is_told_in_one_line(name, architecture):
    anatomy = Anatomy(model := tiny(architecture), head_of(model))
    reason = method(name).unsupported(anatomy, TASK)
    assert reason is not None and REFUSED[name, architecture] in reason and "\n" not in reason


def test_unknown_architectures_get_query_and_value():
    """peft has no default for ELECTRA's LoHa; a prompt is independent of the architecture."""
    anatomy = Anatomy(model := tiny("electra"), head_of(model))
    assert method("peft:loha").unsupported(anatomy, TASK) is None
    method("peft:loha").adapt(anatomy, TASK)
    changed = {n.split(".")[-3] for n in trainable(model) if n not in anatomy.head}
    assert changed == {"query", "value"}


def test_a_target_that_is_the_head_is_refused():
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    reason = method("peft:lora", target_modules=["classifier"]).unsupported(anatomy, TASK)
    assert reason is not None and "task head" in reason


def test_adalora_gives_up_rank_on_the_way():
    name = "peft:adalora"
    bridge = method(name, init_r=6, target_r=2, tinit=2, tfinal=4)
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    bridge.adapt(anatomy, TASK)
    bridge.on_phase(anatomy, Phase("tune", 1.0), STEPS)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    for number in range(1, STEPS + 1):
        F.cross_entropy(model(**batch()).logits, LABELS).backward()
        bridge.after_backward(anatomy, number)
        optimizer.step()
        optimizer.zero_grad()
        bridge.after_step(anatomy, number, optimizer)
    values = torch.cat([p.flatten() for n, p in trainable(model).items() if "lora_E" in n])
    assert (values != 0).sum() == 2 * len(values) // 6


def test_unknown_options_and_types_name_the_nearest(write_suite):
    with pytest.raises(ValidationError, match="not permitted"):
        method("peft:lora", rank=4)
    path = write_suite(methods={"peft:lora": {"lora_alhpa": 4}})
    with pytest.raises(SuiteError, match=r"lora_alhpa.*did you mean 'lora_alpha'"):
        Suite.load(str(path))
    path = write_suite(methods={"peft:loar": {}})
    with pytest.raises(SuiteError, match="did you mean 'peft:lora'") as caught:
        Suite.load(str(path))
    assert "\n" not in str(caught.value)
    path = write_suite(methods={"peft:adalora": {"init_r": "six"}})
    with pytest.raises(SuiteError, match="valid integer"):
        Suite.load(str(path))
    path = write_suite(methods={"peft:gralora": {"gralora_k": 3, "r": 8}})
    with pytest.raises(SuiteError, match="peft:gralora"):
        Suite.load(str(path))


@pytest.mark.exhaustive
def test_a_suite_takes_labels_and_a_cell_runs(write_suite, bench, tmp_path):
    path = write_suite(
        methods={"peft:lora": {"r": 4, "lr": 1e-2}, "peft:prompt_tuning@short": {"num_virtual_tokens": 4}}
    )
    cells = Suite.load(str(path)).cells.values()
    assert {cell.label for cell in cells} == {"peft:lora", "peft:prompt_tuning@short"}
    assert all("peft-" in cell.method_revision for cell in cells)
    done = bench("run", path, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_peft_the_remedy_is_told(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    assert Registry().libraries("methods") == []
    with pytest.raises(PluginError, match="pip install peft"):
        Registry().get("methods", "peft:lora")


def language(architecture: str) -> Anatomy:
    """A tiny model that answers in words: no head of a task's."""
    family = AutoModelForSeq2SeqLM if architecture in ENCODER_DECODERS else AutoModelForCausalLM
    torch.manual_seed(0)
    model = family.from_config(AutoConfig.for_model(architecture, **CONFIGS[architecture])).eval()
    perturb(model.named_parameters())
    return Anatomy(model, frozenset())


PROMPTS = ("cartridge", "cpt", "multitask_prompt_tuning", "p_tuning", "prefix_tuning", "prompt_tuning")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_before_a_decoder_that_answers_in_words(kind, architecture):
    """The prompt is learnt, the answer has the question's length, padding on either side changes nothing, and what is
    generated is what the likeliest tokens, looked up one by one, are."""
    anatomy, bridge = language(architecture), method(f"peft:{kind}")
    assert bridge.unsupported(anatomy, TASK) is None
    bridge.adapt(anatomy, TASK)
    model = anatomy.model
    ids = torch.randint(3, VOCABULARY, (1, 6), generator=torch.Generator().manual_seed(1))
    whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before = logits(model, whole)
    perturb(trainable(model).items(), 0.5)
    expected = logits(model, whole)
    assert expected.shape == (1, 6, VOCABULARY) and (expected - before).abs().max() > 1e-3

    left = {key: F.pad(value, (4, 0), value=int(key == "input_ids")) for key, value in whole.items()}
    right = {key: F.pad(value, (0, 4), value=int(key == "input_ids")) for key, value in whole.items()}
    positions = (left["attention_mask"].cumsum(1) - 1).clamp(min=0)
    padded = logits(model, left | {"position_ids": positions, "logits_to_keep": 3})
    torch.testing.assert_close(padded, expected[:, -3:], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(model, right)[:, :6], expected, rtol=0, atol=1e-5)

    other = torch.randint(3, VOCABULARY, (1, 10), generator=torch.Generator().manual_seed(2))
    generated = model.generate(
        input_ids=torch.cat([left["input_ids"], other]),
        attention_mask=torch.cat([left["attention_mask"], torch.ones_like(other)]),
        max_new_tokens=4, do_sample=False, pad_token_id=1, eos_token_id=None,
    )[0, 10:]  # fmt: skip
    for token in generated.tolist():
        following = logits(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})[0, -1]
        assert following[token] > following.max() - 1e-5
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)


@pytest.mark.parametrize("kind", ["prefix_tuning", "prompt_tuning", "p_tuning", "lora"])
@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_an_encoder_decoder_that_answers_in_words(kind, architecture):
    anatomy, bridge = language(architecture), method(f"peft:{kind}")
    assert bridge.unsupported(anatomy, TASK) is None
    bridge.adapt(anatomy, TASK)
    ids = torch.tensor([[3, 4, 5, 2]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids[:, :3]}
    perturb(trainable(anatomy.model).items(), 0.5)
    expected = logits(anatomy.model, inputs)
    assert expected.shape == (1, 3, VOCABULARY)
    padding = {"input_ids": F.pad(ids, (0, 3), value=1), "attention_mask": F.pad(torch.ones_like(ids), (0, 3))}
    torch.testing.assert_close(logits(anatomy.model, inputs | padding), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "architecture", "words"),
    [
        ("adamss", "gpt2", "is not supported"),  # a TypeError of peft's, which is raised on purpose
        ("lily", "gpt2", "does not support"),
        ("osf", "gpt2", "nothing to adapt"),
        ("multitask_prompt_tuning", "t5", "encoder-decoder"),
    ],
)
def test_reasons_are_what_peft_or_we_say(kind, architecture, words):
    reason = method(f"peft:{kind}").unsupported(language(architecture), TASK)
    assert reason is not None and words in reason and "Error" not in reason


@pytest.mark.parametrize("error", [ValueError("min() arg is an empty sequence"), KeyError("x"), RuntimeError("shapes")])
def test_a_mistake_is_no_reason(monkeypatch, error):
    """Only what stands in a `raise` of peft's or ours counts: all else is raised, and its cell has failed."""

    def wrong(*_):
        raise error

    bridge = method("peft:lora")
    monkeypatch.setattr(type(bridge), "adapt", wrong)
    with pytest.raises(type(error)):
        bridge.unsupported(language("llama"), TASK)


def test_a_mistake_within_peft_is_no_reason(monkeypatch):
    """What a built-in function raises in a line of peft's is a mistake; the same type on purpose is a reason."""
    from peft.tuners.lora import LoraModel

    bridge = method("peft:lora", target_modules=["nowhere_to_be_found"])
    assert "nowhere_to_be_found" in str(bridge.unsupported(language("llama"), TASK))
    monkeypatch.setattr(LoraModel, "_create_and_replace", lambda *_, **__: min([]))
    with pytest.raises(ValueError, match=r"min\(\)|empty"):
        method("peft:lora").unsupported(language("llama"), TASK)
