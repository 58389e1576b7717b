"""Inference of other shapes, on a simulated clock on which the adapted model takes a quarter longer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from bench import serving
from bench.forms.text import Generation
from bench.profiling import INFERENCE_BATCH, profile
from methods.anatomy import Anatomy
from methods.baselines.head import Head
from methods.lowrank.lora import LoRA
from records.cell import Budget
from tests.bench.test_forms import language_model, make_task, tokenizer  # noqa: F401
from tests.bench.test_profiling import LENGTH, cost_of


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def watched(clock, seconds, shapes):
    def passes(_, args, inputs, __):
        if not torch.is_grad_enabled():
            shapes.append(tuple(inputs["input_ids"].shape))
        clock.now += seconds

    return passes


def test_one_text_and_many_are_timed_in_turn_with_the_backbone_unmerged_and_merged(clock):
    shapes = {"ours": [], "theirs": []}

    def watch(model, plain):
        model.register_forward_hook(watched(clock, 1.25, shapes["ours"]), with_kwargs=True)
        plain.register_forward_hook(watched(clock, 1.0, shapes["theirs"]), with_kwargs=True)

    _, cost = cost_of(Head(), watch)
    assert [each.texts for each in cost.passes] == [1, 32]
    for each in cost.passes:
        assert (each.seconds, each.backbone_seconds, each.merged_seconds) == pytest.approx((1.25, 1.0, 1.25))
    assert cost.generation == []  # of a head
    for seen in shapes.values():
        assert set(seen) == {(texts, LENGTH) for texts in (1, INFERENCE_BATCH, 32)}
        # Three pairs, before and after merging: a profile must not become much longer.
        assert seen.count((1, LENGTH)) == seen.count((32, LENGTH)) == 2 * 3


def test_where_memory_does_not_suffice_for_many_texts_the_rest_is_told(clock):
    def refuse(_, args, inputs):
        if len(inputs["input_ids"]) >= serving.MANY:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def watch(model, plain):
        model.register_forward_hook(watched(clock, 1.25, []), with_kwargs=True)
        plain.register_forward_hook(watched(clock, 1.0, []), with_kwargs=True)
        model.register_forward_pre_hook(refuse, with_kwargs=True)

    _, cost = cost_of(Head(), watch)
    assert [(each.texts, each.seconds) for each in cost.passes] == [(1, pytest.approx(1.25))]
    assert cost.inference_seconds == pytest.approx(1.25)


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_a_decoder_writes_one_token_and_sixteen_after_a_prompt(clock, tokenizer, architecture):  # noqa: F811
    """A token takes a pass: the first of the whole prompt, each other of one token."""
    shapes = {"ours": [], "theirs": []}
    model, plain = language_model(architecture), language_model(architecture)
    encoder_decoder = model.config.is_encoder_decoder
    length, form = 24, Generation(make_task("generation"), tokenizer, 24, 8, encoder_decoder=encoder_decoder)
    method, anatomy = LoRA(rank=2), Anatomy(model, frozenset())
    method.adapt(anatomy, form.task)
    model.register_forward_hook(watched(clock, 1.25, shapes["ours"]), with_kwargs=True)
    plain.register_forward_hook(watched(clock, 1.0, shapes["theirs"]), with_kwargs=True)
    budget = Budget(batch_size=2, max_length=length)
    cost = profile(Accelerator(cpu=True), 0, anatomy, method, plain, budget, form)
    if encoder_decoder:
        assert cost.generation == [] and cost.passes
        return
    first, all_ = cost.generation
    assert (first.tokens, all_.tokens) == (1, 16)
    for each in cost.generation:
        wanted = (1.25 * each.tokens, each.tokens, 1.25 * each.tokens)
        assert (each.seconds, each.backbone_seconds, each.merged_seconds) == pytest.approx(wanted)
    for seen in shapes.values():
        assert (1, length - 16) in seen and (1, 1) in seen
