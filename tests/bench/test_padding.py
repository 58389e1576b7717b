"""A batch never changes what a model makes of an example: every architecture, side of padding and form, against the
example alone and unpadded, as transformers reads it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from bench.forms.base import Form, NoSuchForm, inputs_of
from bench.forms.choice import form_of
from bench.forms.heads import fit
from bench.forms.sequence import Classification, MultipleChoice
from bench.forms.token import ExtractiveQA, Tagging
from records.cell import Budget
from tests.bench import tokenizers
from tests.bench.test_forms import features, language_model, make_task
from tests.methods.tiny import (
    ARCHITECTURES,
    CONFIGS,
    DECODERS,
    ENCODER_DECODERS,
    METHODS,
    adapt,
    perturb,
)

SIZE = 340
LABELS = ("no", "yes", "perhaps")
TEXTS = ["he is", "the warm soup was cold in Rome", "a", "old Rome now 北"]
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 2e-5}


def build(cls: Any, architecture: str, **options: Any):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture] | {"vocab_size": SIZE} | options)
    model = cls.from_config(config).eval()
    perturb(model.named_parameters(), 0.1)
    return model


def tokenizer_for(architecture: str, **options: Any):
    """One that begins and ends texts, as the heads of encoder-decoders need; decoders' own end none."""
    return tokenizers.make("byte" if architecture in DECODERS else "byte:both", **options)


def both(model) -> bool:
    return model.config.is_encoder_decoder


@torch.no_grad()
def read(model, form: Form, rows: list[dict[str, Any]]) -> Tensor:
    return model(**inputs_of(form.collate(rows))).logits


@torch.no_grad()
def as_transformers_does(model, ids: list[int]) -> Tensor:
    """One example, alone and without padding, on a model that knows of none: a head takes the last token."""
    model = copy.deepcopy(model)
    if not model.config.is_encoder_decoder:
        model.config.pad_token_id = None
    return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sequence_under_a_head(architecture, side):
    model = build(AutoModelForSequenceClassification, architecture)
    plain = copy.deepcopy(model)
    form = Classification(
        make_task("classification", LABELS), tokenizer_for(architecture, padding_side=side), 64, both(model)
    )
    fit(model, form)
    rows = features(form, [{"text": text, "label": 0} for text in TEXTS])
    together = read(model, form, rows)
    for row, found in zip(rows, together, strict=True):
        torch.testing.assert_close(found, as_transformers_does(plain, row["input_ids"]), **CLOSE)
    # As what is reported: the summed loss is that of each alone.
    with torch.no_grad():
        alone = [form.predict(model, form.collate([row])) for row in rows]
        found = form.predict(model, form.collate(rows))
    assert found.predictions == [each.predictions[0] for each in alone]
    assert found.loss == pytest.approx(sum(each.loss for each in alone), rel=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_choices_under_a_head(architecture, side):
    model = build(AutoModelForSequenceClassification, architecture, num_labels=1)
    plain = copy.deepcopy(model)
    form = MultipleChoice(make_task("multiple choice"), tokenizer_for(architecture, padding_side=side), 64, both(model))
    fit(model, form)
    rows = features(form, [{"text": text, "choices": ["he", "in old Rome"], "label": 1} for text in TEXTS])
    together = read(model, form, rows).view(len(rows), 2)
    for row, found in zip(rows, together, strict=True):
        for ids, one in zip(row["choices"], found, strict=True):
            torch.testing.assert_close(one[None], as_transformers_does(plain, ids), **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in ("bart", "opt")])
def test_tokens_under_a_head(architecture, side):
    model = build(AutoModelForTokenClassification, architecture)
    plain = copy.deepcopy(model)
    tokenizer = tokenizer_for(architecture, padding_side=side)
    tagging = Tagging(make_task("tagging", LABELS), tokenizer, 64, both(model))
    asking = ExtractiveQA(make_task("extractive QA"), tokenizer, 64, both(model))
    for form, raw in (
        (tagging, [{"words": text.split(), "label": [1] * len(text.split())} for text in TEXTS]),
        (asking, [{"text": "is he", "text_pair": text, "answers": [], "starts": []} for text in TEXTS]),
    ):
        fit(model, form)
        rows = features(form, raw)
        for row, found in zip(rows, read(model, form, rows), strict=True):
            expected = as_transformers_does(plain, row["input_ids"])
            torch.testing.assert_close(found[: len(expected)], expected, **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODER_DECODERS])
@pytest.mark.parametrize("kind", ["classification", "generation", "language modelling"])
def test_texts(kind, architecture, side):
    """The likelihood of every answer, and what is generated."""
    model = language_model(architecture, vocab_size=SIZE)
    tokenizer = tokenizer_for(architecture, padding_side=side)
    if model.config.is_encoder_decoder and kind == "language modelling":
        pytest.skip("is for decoders")
    task = make_task(kind, LABELS if kind == "classification" else ())
    budget = Budget(train_examples=1, validation_examples=1, test_examples=1, max_length=40, max_target_length=5)
    form = form_of(task, tokenizer, budget, "text", encoder_decoder=both(model))
    fit(model, form)
    rows = features(form, [{"text": text, "label": 0, "targets": ["yes"]} for text in TEXTS])
    with torch.no_grad():
        found = form.predict(model, form.collate(rows))
        alone = [form.predict(model, form.collate([row])) for row in rows]
    expected = [each.predictions[0] for each in alone]
    assert found.predictions == (pytest.approx(expected, rel=1e-4) if kind == "language modelling" else expected)
    assert found.loss == pytest.approx(sum(each.loss for each in alone), rel=1e-4)


@pytest.mark.parametrize("architecture", DECODERS)
@pytest.mark.parametrize("configured", [None, -1, 0, 3])
def test_a_configuration_may_name_any_padding_token(architecture, configured):
    """Also one that is a word, or none, while the tokenizer pads with another."""
    if configured == -1 and architecture == "opt":
        pytest.skip("its embeddings do not take it")
    model = build(AutoModelForSequenceClassification, architecture, pad_token_id=configured)
    plain = copy.deepcopy(model)
    form = Classification(make_task("classification", LABELS), tokenizer_for(architecture), 64)
    fit(model, form)
    rows = features(form, [{"text": text, "label": 0} for text in TEXTS])
    for row, found in zip(rows, read(model, form, rows), strict=True):
        torch.testing.assert_close(found, as_transformers_does(plain, row["input_ids"]), **CLOSE)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "opt"])
@pytest.mark.parametrize("padding", ["</s>", "<unk>"])
def test_texts_that_end_in_the_padding_token_are_read_to_their_end(architecture, padding):
    """One token that pads, and ends texts or is unknown: a head must not stop before it."""
    kind = "byte:ends" if padding == "</s>" else "word piece"
    model = build(AutoModelForSequenceClassification, architecture)
    plain = copy.deepcopy(model)
    form = Classification(make_task("classification", LABELS), tokenizers.make(kind, pad_token=padding), 64)
    fit(model, form)
    rows = features(form, [{"text": text, "label": 0} for text in ("he is 北", "北", "old Rome is now 北 北")])
    assert all(row["input_ids"][-1] == form.pad for row in rows), "the case is not made"
    for row, found in zip(rows, read(model, form, rows), strict=True):
        torch.testing.assert_close(found, as_transformers_does(plain, row["input_ids"]), **CLOSE)


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_an_encoder_decoders_head_finds_one_end_whatever_pads(architecture):
    model = build(AutoModelForSequenceClassification, architecture, eos_token_id=3)
    plain = copy.deepcopy(model)
    tokenizer = tokenizers.make("byte:both", pad_token="</s>")
    form = Classification(make_task("classification", LABELS), tokenizer, 64, True)
    fit(model, form)
    rows = features(form, [{"text": text, "label": 0} for text in (*TEXTS, "</s> he </s>")])
    for row, found in zip(rows, read(model, form, rows), strict=True):
        torch.testing.assert_close(found, as_transformers_does(plain, row["input_ids"]), **CLOSE)


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_an_encoder_decoders_head_is_not_given_texts_without_an_end(architecture):
    model = build(AutoModelForSequenceClassification, architecture, eos_token_id=3)
    form = Classification(make_task("classification", LABELS), tokenizers.make("byte:begins"), 64, True)
    with pytest.raises(NoSuchForm, match="a text's end"):
        fit(model, form)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("method", ["prompt_tuning", "prefix_tuning", "p_tuning_v2", "lora", "hyperdecoder"])
def test_methods_that_put_something_before_the_text(architecture, method):
    model = build(AutoModelForSequenceClassification, architecture)
    form = Classification(make_task("classification", LABELS), tokenizer_for(architecture), 40)
    fit(model, form)
    anatomy = adapt(METHODS[method], model)
    perturb(((name, p) for name, p in anatomy.model.named_parameters() if p.requires_grad), 0.1)
    rows = features(form, [{"text": text, "label": 0} for text in TEXTS])
    together = read(anatomy.model.eval(), form, rows)
    for row, found in zip(rows, together, strict=True):
        torch.testing.assert_close(found, read(model, form, [row])[0], **CLOSE)


@pytest.mark.parametrize("kind", ["prompt_tuning", "p_tuning", "prefix_tuning", "lora"])
def test_methods_of_peft_too(kind):
    from methods.library import peft

    options = {} if kind == "lora" else {"num_virtual_tokens": 3}
    for padding in ("<pad>", "</s>"):
        model = build(AutoModelForSequenceClassification, "llama")
        form = Classification(make_task("classification", LABELS), tokenizers.make("byte:ends", pad_token=padding), 40)
        fit(model, form)
        anatomy = adapt(peft.get(kind)(**options), model)
        perturb(((name, p) for name, p in anatomy.model.named_parameters() if p.requires_grad), 0.1)
        rows = features(form, [{"text": text, "label": 0} for text in TEXTS])
        together = read(anatomy.model.eval(), form, rows)
        for row, found in zip(rows, together, strict=True):
            torch.testing.assert_close(found, read(model, form, [row])[0], **CLOSE)


def test_a_batch_is_read_and_not_used_up():
    model = build(AutoModelForSequenceClassification, "bert")
    tagger = build(AutoModelForTokenClassification, "bert")
    tokenizer = tokenizer_for("bert")
    words = [{"words": text.split(), "label": [1] * len(text.split())} for text in TEXTS]
    for form, of, raw in (
        (Classification(make_task("classification", LABELS), tokenizer, 64), model, None),
        (Tagging(make_task("tagging", LABELS), tokenizer, 64), tagger, words),
    ):
        batch = form.collate(features(form, raw or [{"text": text, "label": 0} for text in TEXTS]))
        names = set(batch)
        with torch.no_grad():
            losses = [form.loss(of, batch).item() for _ in range(2)]
            found = [form.predict(of, batch) for _ in range(2)]
        assert set(batch) == names
        assert losses[0] == losses[1]
        assert found[0] == found[1]


def test_rounding_up_never_exceeds_the_budgets_length():
    """A backbone may have no more positions than that."""
    model = build(AutoModelForSequenceClassification, "gpt2", n_positions=30)
    form = Classification(make_task("classification", LABELS), tokenizer_for("gpt2"), 30)
    fit(model, form)
    rows = features(form, [{"text": "x" * 50, "label": 0}, {"text": "a", "label": 0}])
    assert read(model, form, rows).shape == (2, 3)
