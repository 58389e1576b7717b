"""What no head reads is not computed: against the whole model, and against what it would cost by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bench import attempts, worker
from bench.forms.base import Form
from bench.forms.sequence import Classification
from bench.forms.token import Tagging
from bench.measuring import count_flops
from bench.origin import Origin
from bench.registry import Registry
from bench.unread import leave_out
from bench.verifying import predict_again
from methods.anatomy import Anatomy
from tests.bench import tokenizers
from tests.bench.test_export import suite_file, train
from tests.methods.tiny import (
    ARCHITECTURES,
    CONFIGURATIONS,
    INAPPLICABLE,
    METHODS,
    adapt,
    batch,
    perturb,
    tiny,
    trainable,
)

# Those whose last layers can be cut.
CUT = ("bert", "roberta", "xlm-roberta", "electra", "deberta-v2")
FORM = Classification(SimpleNamespace(card=SimpleNamespace(labels=("a", "b", "c"))), tokenizers.make("byte"), 16)  # type: ignore[arg-type]


def padded(architecture: str) -> dict[str, torch.Tensor]:
    inputs = batch(architecture)
    inputs["attention_mask"][0, 6:] = 0
    return inputs


def adapted(method: str, architecture: str) -> Anatomy:
    """With parameters that say something."""
    anatomy = adapt(METHODS[method], tiny(architecture))
    torch.manual_seed(1)
    perturb(trainable(anatomy.model).items(), 0.05)
    return anatomy


def answers(anatomy: Anatomy, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradient of every trained parameter."""
    found = anatomy.model(**inputs).logits
    anatomy.model.zero_grad()
    found.square().sum().backward()
    return found.detach(), {n: p.grad for n, p in trainable(anatomy.model).items() if p.grad is not None}


def assert_alike(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """But for rounding, which is all there is of some, such as that of the bias of keys."""
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6 * largest)


@pytest.mark.parametrize("method", [label for label in CONFIGURATIONS if (label, "bert") not in INAPPLICABLE])
def test_answers_and_gradients_are_those_of_the_whole(method: str) -> None:
    inputs, whole, cut = padded("bert"), adapted(method, "bert"), adapted(method, "bert")
    assert leave_out(cut, FORM)
    (logits, gradients), (found, own) = answers(whole, inputs), answers(cut, inputs)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    assert_alike(own, gradients)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", ["lora", "houlsby", "prompt_tuning"])
def test_architectures_are_cut_or_left_as_they_are(method: str, architecture: str) -> None:
    inputs, whole, cut = padded(architecture), adapted(method, architecture), adapted(method, architecture)
    assert leave_out(cut, FORM) == (architecture in CUT)
    with torch.no_grad():
        found, expected = (each.model(**inputs).logits for each in (cut, whole))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_parts_that_are_recomputed_are_recomputed_alike() -> None:
    inputs, whole, cut = padded("bert"), adapted("lora", "bert"), adapted("lora", "bert")
    assert leave_out(cut, FORM)
    cut.model.gradient_checkpointing_enable({"use_reentrant": False})
    for each in (whole, cut):
        for module in each.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        each.model.train()
    (_, gradients), (_, own) = answers(whole, inputs), answers(cut, inputs)
    assert_alike(own, gradients)


def test_what_is_saved_is_what_the_other_tokens_would_have_cost() -> None:
    anatomy, inputs = adapted("head", "bert"), batch("bert")
    tokens, texts = inputs["input_ids"].numel(), len(inputs["input_ids"])
    length, hidden, inner = tokens // texts, 32, 48

    def ask() -> None:
        with torch.no_grad():
            anatomy.model(**inputs)

    before = count_flops(ask)
    assert leave_out(anatomy, FORM)
    # A multiplication and an addition each: the output projection, two of the feed-forward block, scores and values.
    projections = 2 * (tokens - texts) * (hidden * hidden + 2 * hidden * inner)
    attention = 2 * texts * (length - 1) * length * 2 * hidden
    assert before - count_flops(ask) == projections + attention


class Mixing(nn.Module):
    """An adapter whose tokens read each other, and which begins as if it were not there."""

    def __init__(self, base: nn.Module, size: int) -> None:
        super().__init__()
        self.base = base
        self.mean = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.mean.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.base(hidden)
        return found + self.mean(found.mean(1, keepdim=True))


def test_a_method_whose_tokens_read_each_other_is_left_whole() -> None:
    anatomy, inputs = adapted("head", "bert"), padded("bert")
    site = anatomy.layers[-1].ffn_out
    mixing = Mixing(site.module, site.out_features)
    site.replace(mixing)
    learnt = torch.randn(site.out_features, site.out_features)
    expected = _with(mixing, learnt, anatomy, inputs)
    assert not torch.allclose(expected, _with(mixing, 0 * learnt, anatomy, inputs))
    assert not leave_out(anatomy, FORM)
    assert mixing.mean.weight.eq(0).all()
    torch.testing.assert_close(_with(mixing, learnt, anatomy, inputs), expected, rtol=0, atol=0)


@torch.no_grad()
def _with(mixing: Mixing, weight: torch.Tensor, anatomy: Anatomy, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    mixing.mean.weight.copy_(weight)
    found: torch.Tensor = anatomy.model(**inputs).logits
    return found


class Counting(nn.Module):
    """An adapter that wants all tokens."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if hidden.shape[1] < 2:
            raise ValueError("too few tokens")
        found: torch.Tensor = self.base(hidden)
        return found


def test_a_method_that_wants_all_tokens_gets_them() -> None:
    anatomy, inputs = adapted("head", "bert"), padded("bert")
    expected = anatomy.model(**inputs).logits
    site = anatomy.layers[-1].ffn_out
    site.replace(Counting(site.module))
    assert not leave_out(anatomy, FORM)
    torch.testing.assert_close(anatomy.model(**inputs).logits, expected, rtol=0, atol=0)


def test_attention_of_another_kind_stays_as_it_is() -> None:
    """Eager attention returns its weights, and is no entry of transformers' table."""
    whole, cut = adapted("lora", "bert"), adapted("lora", "bert")
    for each in (whole, cut):
        each.model.set_attn_implementation("eager")
    assert leave_out(cut, FORM)
    with torch.no_grad():
        found, expected = (each.model(**padded("bert")).logits for each in (cut, whole))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_text_may_be_as_short_as_the_budget_says() -> None:
    short = Classification(FORM.task, FORM.tokenizer, 8)
    anatomy = adapt(Registry().get("methods", "prompt_tuning").cls(length=55), tiny("bert"))  # of 64 positions
    assert leave_out(anatomy, short)


def test_trying_it_leaves_nothing_behind() -> None:
    anatomy = adapted("lora", "bert")
    before = {name: value.clone() for name, value in anatomy.model.state_dict().items()}
    anatomy.model.train()
    state = torch.get_rng_state()
    assert leave_out(anatomy, FORM)
    assert anatomy.model.training
    assert torch.equal(torch.get_rng_state(), state)
    after = anatomy.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_head_that_reads_all_tokens_gets_all() -> None:
    task = SimpleNamespace(card=SimpleNamespace(labels=("O", "B-X")))
    form: Form = Tagging(task, tokenizers.make("byte"), 16)  # type: ignore[arg-type]
    anatomy, inputs = adapted("head", "bert"), padded("bert")
    hidden = anatomy.backbone(**inputs).last_hidden_state
    assert not leave_out(anatomy, form)
    torch.testing.assert_close(anatomy.backbone(**inputs).last_hidden_state, hidden, rtol=0, atol=0)


def test_cells_are_trained_and_asked_again_so(
    tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []

    def spy(anatomy: Anatomy, form: Form) -> bool:
        tried.append(leave_out(anatomy, form))
        return tried[-1]

    for module in (attempts, worker):
        monkeypatch.setattr(module, "leave_out", spy)
    store = train(suite_file(tmp_path, tiny_backbone, {"lora": {"lr": 0.05}}), tmp_path / "results")
    assert tried == [True]
    [record] = store.records()
    recorded, again = store.predictions(record), predict_again(Origin(store), record)
    assert tried == [True, True]
    assert recorded is not None and again.predictions == recorded.predictions
