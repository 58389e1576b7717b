"""What no head reads is not computed: against the whole model, and against what it would cost by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bench.forms.base import Form
from bench.forms.sequence import Classification
from bench.forms.token import Tagging
from bench.measuring import count_flops
from bench.unread import leave_out
from methods.anatomy import Anatomy
from tests.bench import tokenizers
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
    """With parameters that say something, and nothing left out at random."""
    none = {} if architecture == "deberta-v2" else {"attention_probs_dropout_prob": 0.0}
    anatomy = adapt(METHODS[method], tiny(architecture, hidden_dropout_prob=0.0, **none))
    torch.manual_seed(1)
    perturb(trainable(anatomy.model).items(), 0.05)
    return anatomy


def answers(anatomy: Anatomy, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradient of every trained parameter."""
    found = anatomy.model(**inputs).logits
    anatomy.model.zero_grad()
    found.square().sum().backward()
    return found.detach(), {n: p.grad for n, p in trainable(anatomy.model).items() if p.grad is not None}


@pytest.mark.parametrize("method", [label for label in CONFIGURATIONS if (label, "bert") not in INAPPLICABLE])
def test_answers_and_gradients_are_those_of_the_whole(method: str) -> None:
    inputs, whole, cut = padded("bert"), adapted(method, "bert"), adapted(method, "bert")
    assert leave_out(cut, FORM)
    (logits, gradients), (found, own) = answers(whole, inputs), answers(cut, inputs)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max() + 1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", ["lora", "houlsby", "prompt_tuning"])
def test_architectures_are_cut_or_left_as_they_are(method: str, architecture: str) -> None:
    inputs, whole, cut = (
        padded(architecture),
        adapted_anyhow(method, architecture),
        adapted_anyhow(method, architecture),
    )
    assert leave_out(cut, FORM) == (architecture in CUT)
    with torch.no_grad():
        torch.testing.assert_close(cut.model(**inputs).logits, whole.model(**inputs).logits, rtol=1e-4, atol=1e-5)


def adapted_anyhow(method: str, architecture: str) -> Anatomy:
    return adapt(METHODS[method], tiny(architecture))


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
