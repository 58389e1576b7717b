"""Costs that are counted, against closed forms."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import BertConfig, BertForSequenceClassification

from bench import profiling
from bench.forms.sequence import Classification
from bench.profiling import PeakMemory, count_parameters, profile
from methods.anatomy import Anatomy
from methods.baselines.full import Full
from methods.baselines.head import Head
from records.cell import Budget
from tests.bench import tokenizers

HIDDEN, LAYERS, INNER, VOCABULARY, BATCH, LENGTH = 32, 2, 64, 100, 4, 16
CONFIG = BertConfig(
    vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=2,
    intermediate_size=INNER, max_position_embeddings=64, num_labels=2,
)  # fmt: skip
HEAD = 2 * HIDDEN + 2


def cost_of(method, watch=lambda model, plain: None):
    torch.manual_seed(0)
    model, plain = BertForSequenceClassification(CONFIG), BertForSequenceClassification(CONFIG)
    watch(model, plain)
    anatomy = Anatomy(model, frozenset({"classifier.weight", "classifier.bias"}))
    method.adapt(anatomy, None)
    accelerator = Accelerator(cpu=True)
    memory = PeakMemory(accelerator.device)
    budget = Budget(batch_size=BATCH, max_length=LENGTH)
    total = sum(p.numel() for p in model.parameters())
    task = SimpleNamespace(card=SimpleNamespace(labels=("no", "yes")))
    form = Classification(task, tokenizers.make("byte"), LENGTH)
    return total, profile(accelerator, memory, anatomy, method, plain.eval(), budget, form)


@pytest.fixture(scope="module")
def full():
    return cost_of(Full())


@pytest.fixture(scope="module")
def head():
    return cost_of(Head())


def test_bytes_of_gradients_and_adam_follow_from_what_is_trainable(full, head):
    for (_, cost), trainable in ((full, full[0]), (head, HEAD)):
        tensors = cost.optimizer_bytes - 2 * 4 * trainable  # two moments in fp32, and a step count for each tensor
        assert 0 < tensors < 0.2 * cost.optimizer_bytes
        assert cost.gradient_bytes == 4 * trainable
        assert cost.stored_bytes == 4 * trainable


def test_bytes_of_weights_are_those_of_all_parameters(full):
    total, cost = full
    assert 4 * total <= cost.weights_bytes < 4 * total + 5000  # buffers: position and token type ids


def test_flops_of_inference_are_those_of_the_matrix_products(full):
    _, cost = full
    tokens = 8 * LENGTH
    projections = LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) * 2 * tokens
    attention = LAYERS * 2 * (2 * LENGTH * HIDDEN) * tokens
    pooler_and_head = 8 * 2 * (HIDDEN * HIDDEN + HIDDEN * 2)
    assert cost.inference_flops == projections + attention + pooler_and_head


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_flops_of_a_step_on_bert_base_are_three_times_those_of_its_matrix_products(dropout):
    """Whatever kernel computes attention: dropout takes another one."""
    config = BertConfig(attention_probs_dropout_prob=dropout, hidden_dropout_prob=dropout)
    batch, length, hidden, inner = 1, 64, 768, 3072
    model = BertForSequenceClassification(config).train()
    ids = torch.zeros(batch, length, dtype=torch.long)
    count = profiling._count_flops(lambda: model(ids, torch.ones_like(ids)).logits.sum().backward())
    projections = 12 * (4 * hidden * hidden + 2 * hidden * inner) * 2 * batch * length
    attention = 12 * 2 * (2 * length * hidden) * batch * length
    pooler_and_head = batch * 2 * (hidden * hidden + hidden * 2)
    assert count == 3 * (projections + attention + pooler_and_head)


def test_a_frozen_backbone_saves_activations_and_backward_flops(full, head):
    assert head[1].activation_bytes < 0.1 * full[1].activation_bytes
    # Forward only, against forward and twice as much backward.
    assert head[1].train_flops == pytest.approx(full[1].train_flops / 3, rel=0.05)


def test_full_fine_tuning_saves_at_least_the_inputs_of_every_projection(full):
    inputs = LAYERS * BATCH * LENGTH * (HIDDEN + HIDDEN + HIDDEN + INNER) * 4  # q/k/v, output, two of the feed-forward
    assert full[1].activation_bytes > inputs


def test_parameters_are_counted_apart():
    model = BertForSequenceClassification(CONFIG)
    anatomy = Anatomy(model, frozenset({"classifier.weight", "classifier.bias"}))
    Full().adapt(anatomy, None)
    backbone = sum(p.numel() for p in model.bert.parameters())

    def counted_now():
        trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
        return count_parameters(anatomy.head, trainable, backbone)

    counted = counted_now()
    assert (counted.adapter, counted.head, counted.total) == (backbone, HEAD, backbone + HEAD)
    assert counted.percent == 100
    Head().adapt(anatomy, None)
    assert counted_now().adapter == 0


def test_peak_memory_covers_an_allocation():
    memory = PeakMemory(torch.device("cpu"))
    before = memory.bytes()
    block = torch.ones(64 * 2**20 // 4)
    del block
    assert memory.bytes() >= max(before, 60 * 2**20)


def test_latencies_are_those_of_one_speed_though_the_machine_speeds_up_all_the_while(monkeypatch):
    """On a simulated clock, where the adapted model takes a quarter longer, and every pass one percent less than the
    one before: a model merged later would look faster than it is by a fifth."""
    now, seconds = 0.0, 0.020

    def takes(factor):
        def passes(*_):
            nonlocal now, seconds
            now += factor * seconds
            seconds *= 0.99

        return passes

    def watch(model, plain):
        model.register_forward_hook(takes(1.25))
        plain.register_forward_hook(takes(1.0))

    monkeypatch.setattr("bench.profiling.time", SimpleNamespace(perf_counter=lambda: now))
    _, cost = cost_of(Head(), watch)
    assert cost.inference_seconds / cost.backbone_inference_seconds == pytest.approx(1.25, rel=0.001)
    assert cost.merged_inference_seconds / cost.backbone_inference_seconds == pytest.approx(1.25, rel=0.001)


def test_neither_model_is_timed_with_parameters_that_ask_for_gradients():
    """Autocast holds the casts of such parameters for the whole pass: on a CPU a seventh of its time."""
    adapted, backbone = set(), set()

    def noted_in(found):
        def note(module, *_):
            if not torch.is_grad_enabled():
                found.add(any(parameter.requires_grad for parameter in module.parameters()))

        return note

    def watch(model, plain):
        model.register_forward_hook(noted_in(adapted))
        plain.register_forward_hook(noted_in(backbone))

    total, cost = cost_of(Full(), watch)
    assert adapted == backbone == {False}
    assert cost.stored_bytes == 4 * total
