"""Where the time of a training step goes, and which share of the machine's peak it reaches.

A few steps of their own are stamped: a stamp waits for a GPU, and would disturb a step whose time is told. Each is
timed in turn with a product of two square matrices in the cell's precision, the most that the machine computes in that
time, so that a machine whose speed drifts does not change the share of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import torch

from bench.measuring import synchronize
from bench.step import Part, PhaseTrainer

# Odd, so that a median is a step's own.
STEPS = 3
# Rows of the matrices: large enough for the peak, small enough for a tenth of a second or less.
SIZES = {"cpu": 2048}
SIZE = 4096
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Split:
    """Medians over stamped steps: `percent` of a step by part, which add up to 100; the `peak` that matrix products
    reach, in FLOP/s, and how much of it a step does, in percent."""

    percent: dict[Part, float]
    peak: float
    peak_percent: float


class Laps:
    """Seconds by part of a step, each part from the stamp before to its own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[Part, float] = dict.fromkeys(get_args(Part), 0.0)
        synchronize(device)
        self._last = time.perf_counter()

    def __call__(self, part: Part) -> None:
        """The end of a part, or of one stretch of it."""
        synchronize(self.device)
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds of the whole step."""
        return sum(self.seconds.values())


def split(trainer: PhaseTrainer, batch: Callable[[], dict[str, Any]], flops: int, brief: bool = False) -> Split:
    """Of a trainer that has made its first steps, on batches of which a step does so many FLOPs."""
    device = trainer.accelerator.device
    multiply, product_flops = _product(device, trainer.accelerator.mixed_precision)
    multiply()
    steps: list[dict[Part, float]] = []
    products, reached = [], []
    for _ in range(1 if brief else STEPS):
        product = _seconds(multiply, device)
        made = batch()
        with trainer.stamped(laps := Laps(device)):
            trainer.step(made)
        steps.append({part: seconds / laps.total for part, seconds in laps.seconds.items()})
        products.append(product)
        reached.append((flops / laps.total) / (product_flops / product))
    shares = {part: statistics.median(step[part] for step in steps) for part in steps[0]}
    return Split(
        percent={part: 100 * share / sum(shares.values()) for part, share in shares.items()},
        peak=product_flops / statistics.median(products),
        peak_percent=100 * statistics.median(reached),
    )


def _product(device: torch.device, precision: str) -> tuple[Callable[[], Any], int]:
    """A product of two square matrices, and its FLOPs."""
    size = SIZES.get(device.type, SIZE)
    square = torch.randn(size, size, device=device, dtype=_DTYPES.get(precision, torch.float32))
    return lambda: square @ square, 2 * size**3


def _seconds(action: Callable[[], Any], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start
