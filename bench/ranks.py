"""One cell in several processes, its ranks: each takes a part of every batch, and of the examples to be asked about.

After each backward pass gradients are summed over the ranks, as DistributedDataParallel does (Li et al., PVLDB 2020),
so that all of them make the same step, that of the whole batch. It is done to the gradients of what is trained rather
than around the model: methods exchange parameters from phase to phase, read their gradients, and meet the plain model
throughout. What all ranks draw alike, such as a mask, stays alike, since dropout draws from a stream of its own.

In one process nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import zip_longest
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import gather_object
from torch import distributed

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

# To the process that started the ranks, which says who may write; None in one process.
_starter: Connection | None = None


class RanksDiffer(Exception):
    """The ranks no longer have the same model."""


class RankAccelerator(Accelerator):  # type: ignore[misc]
    """Leaves models and loaders whole, where accelerate would wrap the one and divide the other's batches among ranks,
    at equal weights however many examples or tokens each has."""

    def prepare_model(
        self, model: nn.Module, device_placement: bool | None = None, evaluation_mode: bool = False
    ) -> nn.Module:
        """On the device and in the precision, without a wrapper."""
        prepared: nn.Module = super().prepare_model(model, device_placement, evaluation_mode=True)
        return prepared

    def prepare_data_loader(self, data_loader: Any, device_placement: bool | None = None, **_: Any) -> Any:
        """On the device, with all its batches."""
        return prepare_data_loader(data_loader, self.device, num_processes=1, process_index=0, put_on_device=True)


def accelerator(precision: str) -> Accelerator:
    """For one process, or for a rank."""
    # The backward pass of cuDNN's attention gives NaN where masked batches are 64, 192, ... tokens long (pytorch issue
    # 196678: version 2.11, Hopper); the other kernels' does not.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return (Accelerator if count() == 1 else RankAccelerator)(mixed_precision=precision)


def join(starter: Connection, rank: int, ranks: int, port: int) -> None:
    """Makes this process one of so many ranks, which meet at a port of this machine."""
    global _starter
    _starter = starter
    store = distributed.TCPStore("127.0.0.1", port, ranks, is_master=False)  # type: ignore[attr-defined]
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "gloo":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # or it would see one process
    # A cell has a time limit of its own.
    distributed.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=timedelta(days=365))


def count() -> int:
    """How many ranks there are."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def own() -> int:
    """Which of them this is."""
    return distributed.get_rank() if count() > 1 else 0


def may_write(status: str, reason: str | None) -> bool:
    """Whether this process is the one to write what came of the cell, now that its own part is done. Where another rank
    has failed it never is: the process that started the ranks writes why."""
    if _starter is None:
        return True
    _starter.send((status, reason))
    return bool(_starter.recv())


def summed(parameters: Sequence[Tensor], backward: Callable[[], Tensor]) -> Tensor:
    """The loss that `backward` returns, summed over the ranks, as are the gradients that it leaves."""
    if count() == 1:
        return backward()
    with _own_noise(parameters[0].device):
        loss = backward()
    # A parameter without a gradient here may have one elsewhere.
    there = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
    told = torch.cat([loss.float().reshape(1), there])
    distributed.all_reduce(told)
    for parameter, known in zip(parameters, told[1:].tolist(), strict=True):
        if known:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            whole = gradient.contiguous()
            distributed.all_reduce(whole)
            parameter.grad = whole if whole is gradient else gradient.copy_(whole)
    return told[0]


@contextmanager
def _own_noise(device: torch.device) -> Iterator[None]:
    """Random numbers that are another rank's own too; those that all draw alike go on as if none had been drawn."""
    seed = int(torch.randint(2**62, (), device="cpu")) + own()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def own_batches(loader: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Every so many-th, with its number."""
    ranks, rank = count(), own()
    for number, batch in enumerate(loader):
        if number % ranks == rank:
            yield number, batch


def gathered(found: list[tuple[int, T]]) -> list[T]:
    """What all ranks have found of their batches, in the batches' order, each once."""
    together = found if count() == 1 else sorted(gather_object(found), key=lambda each: each[0])
    if [number for number, _ in together] != list(range(len(together))):
        raise RanksDiffer("the processes of the cell do not divide what they are asked into the same batches")
    return [each for _, each in together]


def is_divided(value: Tensor) -> bool:
    """Whether each rank has a share of it alone."""
    if count() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


@torch.no_grad()
def require_same(model: nn.Module) -> None:
    """Raises RanksDiffer where parameters and buffers are not those of the other ranks: a method that takes more of a
    batch than the gradients of what it trains has learnt something else on each of them."""
    if count() == 1:
        return
    found = dict(model.named_parameters()) | dict(model.named_buffers())
    tensors = {name: value for name, value in found.items() if not is_divided(value)}  # of which none is trained
    mine = [(name, value.shape, str(value.sum(dtype=torch.float64).item())) for name, value in tensors.items()]
    first, *others = gather_object([mine])
    for each in others:
        for here, there in zip_longest(first, each):
            if here != there:
                name = (here or there)[0]
                raise RanksDiffer(
                    f"its processes have come to learn different things ({name}): what the method takes of a batch is"
                    " more than the gradients of what it trains; run it in one process (processes: 1)"
                )
