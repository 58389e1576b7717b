"""Where a step's time goes, on a simulated clock: what is told follows by hand from how long each part takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench import measuring, split
from bench.data import in_micro_batches
from bench.profiling import _of_steps
from records.record import PhaseCost
from tests.bench.test_forms import features
from tests.bench.test_micro_batches import classification, trainer_of

FORWARD, BACKWARD, OPTIMIZER, PRODUCT = 3.0, 5.0, 2.0, 4.0


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(split, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def takes(clock, seconds, result=None):
    def action(*_):
        clock.now += seconds
        return result

    return action


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_is_split_into_forward_backward_and_the_rest_in_turn_with_a_product(clock, monkeypatch, parts):
    """A batch that passes the model in two parts has two passes either way, and one step of the optimiser."""
    form, model, raw = classification()
    rows = features(form, raw)
    trainer = trainer_of(form, model)
    model.register_forward_hook(takes(clock, FORWARD / parts))
    next(p for p in reversed(list(model.parameters()))).register_hook(takes(clock, BACKWARD / parts))
    trainer.optimizer.optimizer.register_step_post_hook(takes(clock, OPTIMIZER))
    monkeypatch.setattr(split, "_product", lambda *_: (takes(clock, PRODUCT), 1000))
    size = -(-len(rows) // parts)
    found = split.split(trainer, lambda: in_micro_batches(form.collate, rows, size), flops=500)
    assert found.percent == pytest.approx({"forward": 30.0, "backward": 50.0, "optimizer": 20.0})
    assert found.peak == pytest.approx(1000 / PRODUCT)
    assert found.peak_percent == pytest.approx(100 * (500 / (FORWARD + BACKWARD + OPTIMIZER)) / (1000 / PRODUCT))


def test_a_machine_that_slows_down_changes_neither_shares_nor_the_share_of_its_peak(clock, monkeypatch):
    form, model, raw = classification()
    batch = form.collate(features(form, raw))
    trainer = trainer_of(form, model)
    slower = 1.0

    def drifting(seconds):
        def action(*_):
            nonlocal slower
            clock.now += slower * seconds
            slower *= 1.003

        return action

    model.register_forward_hook(drifting(FORWARD))
    next(p for p in reversed(list(model.parameters()))).register_hook(drifting(BACKWARD))
    trainer.optimizer.optimizer.register_step_post_hook(drifting(OPTIMIZER))
    monkeypatch.setattr(split, "_product", lambda *_: (drifting(PRODUCT), 1000))
    found = split.split(trainer, lambda: batch, flops=500)
    assert found.percent == pytest.approx({"forward": 30.0, "backward": 50.0, "optimizer": 20.0}, rel=0.01)
    assert sum(found.percent.values()) == pytest.approx(100)
    assert found.peak_percent == pytest.approx(20, rel=0.02)


def test_a_step_that_is_not_stamped_calls_nothing_and_one_that_is_learns_the_same(clock):
    losses = []
    for stamped in (False, True):
        torch.manual_seed(0)
        form, model, raw = classification()
        trainer = trainer_of(form, model)
        torch.manual_seed(1)
        batch = form.collate(features(form, raw))
        if stamped:
            seen = []
            with trainer.stamped(seen.append):
                trainer.step(batch)
            assert [part for part, after in zip(seen, [*seen[1:], None], strict=True) if part != after] == [
                "forward", "backward", "optimizer",
            ]  # fmt: skip
            trainer.step(batch)
            assert seen.count("optimizer") == 1
        else:
            trainer.step(batch)
            trainer.step(batch)
        losses.append([parameter.detach().clone() for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*losses, strict=True))


def test_products_are_made_in_the_precision_of_the_cell():
    for precision, dtype in (("no", torch.float32), ("bf16", torch.bfloat16)):
        multiply, flops = split._product(torch.device("cpu"), precision)
        product = multiply()
        assert product.dtype == dtype
        assert flops == measuring.count_flops(multiply)


def phase(share: float, seconds: float, forward: float, joules: float | None) -> PhaseCost:
    return PhaseCost(
        name="tune", share=share, trainable_parameters=1, step_seconds=seconds, tokens_per_second=1, train_flops=1,
        gradient_bytes=1, optimizer_bytes=1, activation_bytes=1, forward_percent=forward,
        backward_percent=90 - forward, optimizer_percent=10, peak_percent=50, step_joules=joules,
    )  # fmt: skip


def test_a_training_of_two_phases_has_their_percents_by_time_and_their_joules_by_steps():
    """A quarter of the steps at 2 s, the rest at 1 s: two fifths of the time are the first's."""
    found = _of_steps([phase(0.25, 2.0, 40, 100), phase(0.75, 1.0, 20, 60)])
    assert found["forward_percent"] == pytest.approx(0.4 * 40 + 0.6 * 20)
    assert found["optimizer_percent"] == pytest.approx(10) and found["peak_percent"] == pytest.approx(50)
    assert found["step_joules"] == pytest.approx(0.25 * 100 + 0.75 * 60)
    assert _of_steps([phase(0.5, 1.0, 40, 100), phase(0.5, 1.0, 40, None)])["step_joules"] is None
    assert set(_of_steps([]).values()) == {None}
