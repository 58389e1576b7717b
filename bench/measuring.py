"""How costs are measured: seconds beside a reference in the same minutes, the most memory held, FLOPs and bytes.

A machine's speed drifts by more than methods differ. What is timed is therefore timed in turn with a fixed reference,
and is the reference's time, times the median ratio of neighbours.
"""

from __future__ import annotations

import ctypes
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from torch import Tensor, nn

Action = Callable[[], Any]

WARM_UP = 2
# Even, so that either goes first equally often.
PAIRS_A_ROUND = 2
# Odd, so that the median is a pair's own, and the first pass of a shape that is new to the machine does not count.
GLANCED_PAIRS = 3
# Each round has a median of its own: what a machine does for a while is the same for the pairs of one round, so that
# only rounds tell how sure a ratio is that is compared with another profile's. A ratio that is not sure gets more.
ROUNDS = 5
MOST_ROUNDS = 16
# A brief timing is one round, of so many pairs.
BRIEF_PAIRS = 4
# Of a median ratio: its standard error, as a share of it.
SURE = 0.015
# Beyond this, what was measured is said to have drifted: at 95 % confidence it may be 5 % away from what it is.
DRIFTED = 0.025
# Seconds after which rounds are as few as they may be: a step of a large model averages over much.
LONGEST = 8.0
# Larger tensors go back to the system: those of a large model's embeddings, which would leave gaps.
KEPT_BYTES = 2**28
# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# The standard error of a median of n values is about 0.93 of their interquartile range over √n (McGill et al. 1978).
OF_RANGE = 0.93


@dataclass(frozen=True)
class Timing:
    """Passes that were timed in turn with a reference: `reference`, its median seconds; `quartiles`, those of the ratio
    of neighbours, the median in the middle; `pairs`, how many there were; `rounds`, the median ratio of each round."""

    reference: float
    quartiles: tuple[float, float, float]
    pairs: int
    rounds: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The median ratio to the reference."""
        return self.quartiles[1]

    @property
    def seconds(self) -> float:
        """The reference's, times the ratio."""
        return self.reference * self.ratio

    @property
    def error(self) -> float:
        """The standard error of the ratio, as a share of it."""
        low, median, high = self.quartiles
        return OF_RANGE * (high - low) / median / math.sqrt(self.pairs)

    @property
    def drifted(self) -> bool:
        """Whether the machine was too restless to tell the ratio."""
        return self.error > DRIFTED


def beside(reference: Action, action: Action, device: torch.device, brief: bool = False) -> Timing:
    """Times an action in turn with a reference; who goes first changes from pair to pair. Goes on for as many rounds as
    it takes until the ratio is sure, within bounds; for one, if it is to be `brief`."""
    for _ in range(WARM_UP):
        reference()
        action()
    if brief:
        return _timing([_round(reference, action, device, BRIEF_PAIRS)])
    rounds: list[list[tuple[float, float]]] = []
    began = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS and (time.perf_counter() - began > LONGEST or _timing(rounds).error <= SURE):
            break
        rounds.append(_round(reference, action, device, PAIRS_A_ROUND))
    return _timing(rounds)


def glance(reference: Action, action: Action, device: torch.device) -> Timing:
    """Times an action in turn with a reference, in one short round: it tells a tenth rather than a hundredth."""
    return _timing([_round(reference, action, device, GLANCED_PAIRS)])


def _round(reference: Action, action: Action, device: torch.device, count: int) -> list[tuple[float, float]]:
    pairs = []
    for number in range(count):
        if number % 2:
            ours, theirs = timed(action, device), timed(reference, device)
        else:
            theirs, ours = timed(reference, device), timed(action, device)
        pairs.append((theirs, ours))
    return pairs


def _timing(rounds: list[list[tuple[float, float]]]) -> Timing:
    ratios = [[ours / theirs for theirs, ours in pairs] for pairs in rounds]
    low, median, high = statistics.quantiles(chain(*ratios), n=4, method="inclusive")
    reference = statistics.median(theirs for theirs, _ in chain(*rounds))
    return Timing(reference, (low, median, high), sum(map(len, rounds)), tuple(map(statistics.median, ratios)))


def timed(action: Action, device: torch.device) -> float:
    """Seconds until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def keep_memory() -> None:
    """From now on what this process frees stays with it, as far as its C library is glibc, and no tensor is larger than
    KEPT_BYTES: the next step asks for it again, and the system takes its time to give it anew, now more, now less. Full
    fine-tuning of MiniLM on texts of one length takes a sixth less time so. Not before memory is measured."""
    if sys.platform != "linux":
        return
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    # Older ones refuse what is larger than 32 MiB. Without a threshold the other would stop the growth of their own.
    if tune is not None and (tune(M_MMAP_THRESHOLD, KEPT_BYTES) or tune(M_MMAP_THRESHOLD, 2**25)):
        tune(M_TRIM_THRESHOLD, 2**31 - 1)


def synchronize(device: torch.device) -> None:
    """Waits for what the device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class PeakMemory:
    """The most memory held since construction: of the accelerator where there is one, else of the process
    (its resident set), less what was held at the start."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.floor = torch.cuda.memory_allocated(device)
        else:
            self.floor = psutil.Process().memory_info().rss

    def bytes(self) -> int:
        """What was held at the worst moment so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self.floor
        unit = 1 if sys.platform == "darwin" else 1024
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.floor, 0)


@contextmanager
def frozen(*models: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient, as in a model that is deployed. Autocast keeps its copy of one that does until
    the pass is over, so that full fine-tuning, and a backbone as it was loaded, would look slower than others."""
    asking = [parameter for model in models for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def count_flops(action: Action) -> int:
    """Of a forward, or a forward and a backward pass: the same on every machine."""

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        """Of shapes (batch, heads, length, size); a group of heads may share keys and values."""
        batch, heads, length, size = query
        return int(2 * batch * heads * length * key[-2] * (size + value[-1]))

    def backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
        return 2 * forward(query, key, value)

    # PyTorch leaves out the attention of a processor, and of a GPU counts also what its kernels compute a second time
    # in the backward pass.
    aten = torch.ops.aten
    kernels = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
    attention = {
        getattr(aten, f"_scaled_dot_product_{kernel}{suffix}"): count
        for kernel in kernels
        for suffix, count in (("", forward), ("_backward", backward))
    }
    with FlopCounterMode(display=False, custom_mapping=attention) as counter:
        action()
    return int(counter.get_total_flops())


@contextmanager
def saved_tensors(model: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes, by storage, of what autograd keeps for the backward pass, parameters and buffers excluded."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What the tensors hold, storages that they share counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
