"""What every method promises, on every architecture that the anatomy describes."""

from __future__ import annotations

import pytest
import torch

from tests.methods.conftest import METHODS, logits, method_named, train

IDENTITY = ("full", "head", "bitfit", "lt_sft", "lora", "houlsby", "hyperformer")
MERGING = ("full", "head", "bitfit", "lt_sft", "lora")


@pytest.fixture(params=METHODS)
def method(request, tiny):
    """Small enough for the tiny models; skipped where it says that it does not apply."""
    small = {
        "lora": {"rank": 3}, "houlsby": {"bottleneck": 4}, "hyperformer": {"bottleneck": 4, "embedding": 6},
        "prompt_tuning": {"length": 5}, "prefix_tuning": {"length": 5}, "lt_sft": {"density": 0.05},
    }  # fmt: skip
    method = method_named(request.param, **small.get(request.param, {}))
    if reason := method.unsupported(tiny.anatomy(), None):
        pytest.skip(reason)
    return method


def test_only_what_is_named_trains_and_all_of_it_gets_gradients(method, tiny):
    anatomy = tiny.adapted(method)
    for phase in method.phases():
        method.on_phase(anatomy, phase)
        # Twice, since what begins at zero keeps what stands before it from its first gradient.
        trainable = {n: p for n, p in anatomy.model.named_parameters() if p.requires_grad}
        assert anatomy.head <= set(trainable)
        optimizer = torch.optim.SGD(trainable.values(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits(anatomy, tiny.batch()), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
        assert [n for n, p in trainable.items() if p.grad is None] == []
        assert [n for n, p in anatomy.model.named_parameters() if not p.requires_grad and p.grad is not None] == []
        optimizer.zero_grad()


def test_frozen_weights_are_not_touched(method, tiny):
    anatomy = tiny.adapted(method)
    plain = dict(tiny.model().named_parameters())
    train(method, anatomy, tiny.batch())
    for name, parameter in anatomy.model.named_parameters():
        original = name.replace(".base.", ".").replace(".parametrizations.", ".").removesuffix(".original")
        if not parameter.requires_grad:
            assert torch.equal(parameter, plain[original]), name


def test_step_zero_is_the_backbone_where_promised(method, tiny):
    if method.card.name not in IDENTITY:
        pytest.skip("makes no such promise")
    anatomy = tiny.adapted(method)
    batch = tiny.batch()
    torch.testing.assert_close(logits(anatomy, batch), tiny.model()(**batch).logits, rtol=0, atol=1e-6)


def test_merging_keeps_the_logits_and_leaves_the_plain_architecture(method, tiny):
    anatomy = tiny.adapted(method)
    batch = tiny.batch()
    train(method, anatomy, batch)
    with torch.no_grad():
        before = logits(anatomy, batch)
        merged = method.merge(anatomy.model)
        after = logits(anatomy, batch)
    assert merged == (method.card.name in MERGING)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    if merged:
        plain = tiny.model()
        assert set(anatomy.model.state_dict()) == set(plain.state_dict())
        assert [type(m) for m in anatomy.model.modules()] == [type(m) for m in plain.modules()]


def test_what_is_stored_brings_the_logits_back(method, tiny):
    anatomy = tiny.adapted(method)
    batch = tiny.batch()
    train(method, anatomy, batch)
    state = {name: value.clone() for name, value in method.state(anatomy.model).items()}
    other = method.model_copy(deep=True)
    fresh = tiny.anatomy()
    torch.manual_seed(99)  # the fresh model's own random start must not matter
    other.adapt(fresh, None)
    assert not torch.allclose(logits(fresh, batch), logits(anatomy, batch), atol=1e-4)
    other.load_state(fresh.model, state)
    torch.testing.assert_close(logits(fresh, batch), logits(anatomy, batch), rtol=0, atol=1e-6)


def test_padding_changes_nothing(method, tiny):
    anatomy = tiny.adapted(method)
    train(method, anatomy, tiny.batch())
    padded = tiny.batch(padding=3)
    bare = {key: value[1:, :-3] for key, value in padded.items()}
    torch.testing.assert_close(logits(anatomy, padded)[1:], logits(anatomy, bare), rtol=0, atol=1e-5)


def test_training_lowers_the_loss(method, tiny):
    anatomy = tiny.adapted(method)
    batch, labels = tiny.batch(), torch.tensor([0, 1, 2, 0])
    before = torch.nn.functional.cross_entropy(logits(anatomy, batch), labels).item()
    for phase in method.phases():
        method.on_phase(anatomy, phase)
        optimizer = torch.optim.AdamW([p for p in anatomy.model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(logits(anatomy, batch), labels)
            loss.backward()
            optimizer.step()
    assert loss.item() < before - 0.05


def test_it_runs_under_bf16_autocast(method, tiny):
    anatomy = tiny.adapted(method)
    with torch.autocast("cpu", torch.bfloat16):
        out = logits(anatomy, tiny.batch())
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), logits(anatomy, tiny.batch()), rtol=0, atol=0.05)
