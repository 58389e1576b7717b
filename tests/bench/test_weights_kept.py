"""What is made of weights in low precision, and kept while they stay as they are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from bench import kernels
from tests.bench.test_kernels import Asked


class Weighed(Asked):
    """As that, and with what weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[torch.Tensor] = []

    def __call__(self, _: Any, given: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        self.weights.append(weight)
        return super().__call__(_, given, weight, bias)

    def weight(self, weight: torch.Tensor) -> torch.Tensor:
        """What a layer of this weight is given for it."""
        self.layer(None, torch.ones(2, weight.shape[1]), weight)
        return self.weights[-1]


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> Weighed:
    found = Weighed()
    monkeypatch.setattr(kernels, "_linear", found.layer)
    return found


def test_frozen_weights_are_converted_once_while_they_are_kept(weighed: Weighed) -> None:
    frozen, trained = torch.nn.Parameter(torch.rand(3, 4), False), torch.nn.Parameter(torch.rand(3, 4))
    assert weighed.weight(frozen) is frozen  # for PyTorch to convert
    with kernels.weights_kept():
        kept = weighed.weight(frozen)
        torch.testing.assert_close(kept, frozen.bfloat16(), rtol=0, atol=0)
        assert weighed.weight(frozen) is kept
        assert weighed.weight(trained) is trained
        with torch.no_grad():
            assert weighed.weight(trained) is trained
        with kernels.weights_kept(trained=True):
            assert weighed.weight(trained) is trained  # its gradient is wanted
            with torch.no_grad():
                assert weighed.weight(trained).dtype == torch.bfloat16
        assert weighed.weight(frozen) is kept
    assert weighed.weight(frozen) is frozen


def test_a_weight_that_was_written_to_is_converted_anew(weighed: Weighed) -> None:
    weight = torch.nn.Parameter(torch.ones(3, 4), False)
    with kernels.weights_kept(trained=True), torch.no_grad():
        assert weighed.weight(weight).eq(1).all()
        weight.mul_(2)
        assert weighed.weight(weight).eq(2).all()
        weight.data = torch.full((3, 4), 3.0)
        assert weighed.weight(weight).eq(3).all()


def test_of_what_is_trained_no_more_than_one_asking_is_kept(weighed: Weighed) -> None:
    """A fused optimiser does not tell that it has changed it."""
    weight = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    with kernels.weights_kept():
        for before in (1, 0, -1):
            with kernels.weights_kept(trained=True), torch.no_grad():
                assert weighed.weight(weight).eq(before).all()
            weight.grad = torch.ones(3, 4)
            optimizer.step()


TRAINED = """
from contextlib import nullcontext
import sys
import torch
from bench import kernels
from bench.checks.models import TASK, batch, head_of, tiny
from bench.registry import Registry
from methods.anatomy import Anatomy

kernels.use()


def train(name, keeps):
    method = Registry().get("methods", name).cls()
    anatomy = Anatomy(tiny("bert"), head_of(tiny("bert")))
    method.adapt(anatomy, TASK)
    inputs, labels, found = batch("bert"), torch.tensor([0, 1, 2]), []
    torch.manual_seed(0)
    for phase in method.phases():
        method.on_phase(anatomy, phase, 3)
        trained = [p for p in anatomy.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2, fused=True)
        with kernels.weights_kept() if keeps else nullcontext():
            for _ in range(3):
                anatomy.model.train()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = anatomy.model(**inputs, labels=labels).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                anatomy.model.eval()
                with torch.no_grad(), kernels.weights_kept(trained=True) if keeps else nullcontext():
                    for _ in range(2):
                        with torch.autocast("cpu", torch.bfloat16):
                            found.append(anatomy.model(**inputs).logits)
    return torch.stack(found)


name = sys.argv[1]
whole, kept = train(name, False), train(name, True)
assert len({tuple(each.flatten().tolist()) for each in whole}) >= 3, "nothing is learnt"
assert torch.equal(whole, kept), (whole - kept).abs().max()
"""


@pytest.mark.parametrize("method", ["full", "bitfit", "lt_sft", "lora", "houlsby"])
def test_trainings_are_the_same_with_weights_kept(method: str) -> None:
    done = subprocess.run([sys.executable, "-c", TRAINED, method], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
