"""Costs that are counted, against closed forms."""

from __future__ import annotations

import platform
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaModel

from bench import measuring
from bench.forms.sequence import Classification
from bench.measuring import PeakMemory, beside, count_flops
from bench.profiling import _protocol, count_parameters, peak_memory, profile
from methods.anatomy import Anatomy
from methods.baselines.full import Full
from methods.baselines.head import Head
from records.cell import Budget
from tests.bench import tokenizers
from tests.conftest import PLUGINS

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
    budget = Budget(batch_size=BATCH, max_length=LENGTH)
    total = sum(p.numel() for p in model.parameters())
    task = SimpleNamespace(card=SimpleNamespace(labels=("no", "yes")))
    form = Classification(task, tokenizers.make("byte"), LENGTH)
    return total, profile(accelerator, 0, anatomy, method, plain, budget, form)


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
    count = count_flops(lambda: model(ids, torch.ones_like(ids)).logits.sum().backward())
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

    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: now))
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


def test_a_step_is_told_by_its_ratio_to_the_yardstick_though_the_machine_slows_down_all_the_while(monkeypatch):
    """On a simulated clock, where the adapted model takes half as long again, and every pass one percent more than the
    one before."""
    now, seconds = 0.0, 0.020

    def takes(factor):
        def passes(*_):
            nonlocal now, seconds
            now += factor * seconds
            seconds *= 1.01

        return passes

    def watch(model, plain):
        model.register_forward_hook(takes(1.5))
        plain.register_forward_hook(takes(1.0))

    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: now))
    _, cost = cost_of(Full(), watch)
    [phase] = cost.phases
    assert phase.step_ratio == pytest.approx(1.5, rel=0.001)
    assert cost.step_seconds / cost.yardstick_seconds == pytest.approx(1.5, rel=0.001)
    assert not cost.drifted


@pytest.mark.parametrize(("restless", "drifted"), [(0.0, False), (0.5, True)])
def test_a_ratio_that_is_not_sure_is_taken_more_often_and_then_said_to_have_drifted(monkeypatch, restless, drifted):
    now, draw = 0.0, random.Random(0)

    def takes(seconds):
        nonlocal now
        now += seconds * (1 + restless * draw.random())

    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: now))
    timing = beside(lambda: takes(0.001), lambda: takes(0.002), torch.device("cpu"))
    assert timing.ratio == pytest.approx(2, rel=0.2)
    assert timing.drifted == drifted
    assert len(timing.rounds) == (measuring.MOST_ROUNDS if restless else measuring.ROUNDS)
    assert timing.pairs == len(timing.rounds) * measuring.PAIRS_A_ROUND
    assert min(timing.rounds) <= timing.ratio <= max(timing.rounds)


def test_a_brief_profile_is_of_one_round_and_says_so(monkeypatch):
    now = 0.0

    def takes(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: now))
    timing = beside(lambda: takes(0.1), lambda: takes(0.3), torch.device("cpu"), brief=True)
    assert (timing.pairs, timing.rounds) == (measuring.BRIEF_PAIRS, (pytest.approx(3.0),))
    assert _protocol(Budget(), brief=True)["pairs"] == measuring.BRIEF_PAIRS
    assert _protocol(Budget(), brief=False)["pairs"] >= measuring.PAIRS_A_ROUND * measuring.ROUNDS


def test_a_model_of_long_steps_is_timed_in_as_few_rounds_as_may_be_however_unsure_they_are(monkeypatch):
    now, draw = 0.0, random.Random(0)

    def takes(seconds):
        nonlocal now
        now += seconds * (1 + draw.random())

    monkeypatch.setattr("bench.measuring.time", SimpleNamespace(perf_counter=lambda: now))
    timing = beside(lambda: takes(10), lambda: takes(20), torch.device("cpu"))
    assert timing.drifted
    assert (len(timing.rounds), timing.pairs) == (measuring.ROUNDS, measuring.ROUNDS * measuring.PAIRS_A_ROUND)


def test_the_yardstick_is_a_forward_pass_and_the_backward_pass_of_activations_alone(monkeypatch):
    """Of every projection one more product, for its input's gradient; of attention two for one, as it has two inputs
    that depend on the embeddings; none for a weight."""
    counted = []

    def count(reference, action, device, brief):
        counted.append(count_flops(reference))
        return beside(reference, action, device)

    monkeypatch.setattr("bench.profiling.beside", count)
    seen = []
    cost_of(Head(), lambda model, plain: seen.append(plain))
    tokens = BATCH * LENGTH
    projections = LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) * 2 * tokens
    attention = LAYERS * 2 * (2 * LENGTH * HIDDEN) * tokens
    pooler_and_head = BATCH * 2 * (HIDDEN * HIDDEN + HIDDEN * 2)
    assert counted[0] == 2 * projections + 3 * attention + 2 * pooler_and_head
    assert all(parameter.grad is None for parameter in seen[0].parameters())


def test_peak_memory_is_that_of_training():
    """Of a model whose weights are most of it: their gradients and Adam's moments come on top."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=100_000, hidden_size=128, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=128, num_labels=2)  # fmt: skip
    accelerator = Accelerator(cpu=True)
    model = BertForSequenceClassification(config)
    memory = PeakMemory(accelerator.device)
    method, anatomy = Full(), Anatomy(model, frozenset({"classifier.weight", "classifier.bias"}))
    method.adapt(anatomy, None)
    task = SimpleNamespace(card=SimpleNamespace(labels=("no", "yes")))
    form = Classification(task, tokenizers.make("byte"), LENGTH)
    peak = peak_memory(accelerator, memory, anatomy, method, Budget(batch_size=BATCH, max_length=LENGTH), form)
    weights = 4 * sum(p.numel() for p in model.parameters())
    assert 2.5 * weights < peak  # what the process held at a worse moment before is in it, too


def test_heads_that_share_keys_and_values_are_counted_each():
    config = LlamaConfig(vocab_size=100, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16)  # fmt: skip
    model = LlamaModel(config).train()
    batch, length = 2, 32
    projections = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) * 2 * batch * length
    attention = 2 * 2 * (2 * length * 64) * batch * length
    rotary = 2 * batch * length * 8  # an outer product
    ids = torch.zeros(batch, length, dtype=torch.long)
    for mask in (None, torch.tensor([[1] * length, [0] * 8 + [1] * (length - 8)])):
        count = count_flops(lambda mask=mask: model(ids, mask).last_hidden_state.sum().backward())
        assert count == pytest.approx(3 * (projections + attention), abs=2 * rotary)


@pytest.mark.parametrize(("most", "told"), [(2**30, [2**28]), (2**25, [2**28, 2**25]), (0, [2**28, 2**25])])
def test_an_older_library_keeps_as_much_as_it_can(monkeypatch, most, told):
    """Before glibc 2.35 thresholds above 32 MiB were refused; musl has none. Where none is taken nothing is changed:
    whatever is set ends the growth of the library's own."""
    asked = []

    def mallopt(what: int, size: int) -> int:
        asked.append((what, size))
        return int(what == measuring.M_TRIM_THRESHOLD or size <= most)

    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr("sys.platform", "linux")
    measuring.keep_memory()
    assert [size for what, size in asked if what == measuring.M_MMAP_THRESHOLD] == told
    assert (asked[-1][0] == measuring.M_TRIM_THRESHOLD) == (most > 0)


FREES = """
import psutil, torch
from faulty import Everything, CARD
import dataclasses

class Frees(Everything):
    card = dataclasses.replace(CARD, name="frees")

    def after_step(self, anatomy, step, optimizer):
        before = psutil.Process().memory_info().rss
        torch.ones(2**24)  # 64 MiB, and gone
        with open({file!r}, "a") as file:
            print((psutil.Process().memory_info().rss - before) >> 20, file=file)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="this is about glibc")
def test_what_a_training_has_freed_stays_with_it(bench, write_suite, tmp_path):
    for name in ("faulty", "colours"):
        shutil.copy(PLUGINS / f"{name}.py", tmp_path)
    told = tmp_path / "stayed"
    (tmp_path / "frees.py").write_text(FREES.format(file=str(told)))
    suite = write_suite(methods=["frees"], plugins=["colours.py", "faulty.py", "frees.py"])
    assert bench("run", suite).returncode == 0
    stayed = [int(line) for line in told.read_text().split()]
    assert stayed[0] > 32  # and what comes after finds it there


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="this is about glibc")
def test_a_profile_keeps_the_memory_that_it_has_freed():
    script = """
import psutil, torch
from bench.measuring import keep_memory

def held() -> int:
    before = psutil.Process().memory_info().rss
    torch.ones(2**24)  # 64 MiB, and gone
    return psutil.Process().memory_info().rss - before

assert held() < 2**24
keep_memory()
assert held() > 2**25
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
