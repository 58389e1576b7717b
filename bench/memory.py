"""Where memory does not suffice: the same again, with half as much at a time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import psutil
import torch

from bench import ranks

T = TypeVar("T")

# What allocators say that raise no exception of their own: the CPU's, and Apple's.
_SAID = ("can't allocate memory", "MPS backend out of memory")


class OutOfMemory(Exception):
    """Not even one example at a time fits; the message says what was asked for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what an exception says."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def fitting(size: int, work: Callable[[int], T], asked: str, device: torch.device) -> tuple[int, T]:
    """The work with `size` examples at a time or, where memory does not suffice, half of them, and half of those; and
    with how many it was done. Random numbers go on as if it had been done so from the first.

    Raises OutOfMemory where one example is too much; `asked` is what was asked for, in words.
    """
    random = torch.get_rng_state()
    while True:
        try:
            return size, work(size)
        except Exception as error:
            # Other ranks would wait for this one in vain.
            if not is_out_of_memory(error) or ranks.count() > 1:
                raise
            if size == 1:
                raise OutOfMemory(
                    f"out of memory: {asked}; even one example at a time is too much for {_memory(device)}; shorten"
                    " max_length, set activation_checkpointing: true, or take a device with more memory"
                ) from error
        # Out of the handler, which holds on to all that the work had made.
        size = -(-size // 2)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        torch.set_rng_state(random)


def _memory(device: torch.device) -> str:
    """A device and its memory, in words."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"{found.name} with {found.total_memory / 2**30:.1f} GiB"
    return f"this machine's {psutil.virtual_memory().total / 2**30:.1f} GiB"
