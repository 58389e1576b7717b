"""Where cells run on this machine: which options there are, and the slots that come of them."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bench import environment
from bench.folders import UsageError
from bench.launchers.base import Slot
from bench.sizes import bytes_of
from bench.suite_file import AS_PROFILED, SuiteFile
from records.store import ResultsError

if TYPE_CHECKING:
    from bench.resolved_suite import ResolvedSuite
    from bench.suite import Suite
    from records.cell import Cell
    from records.record import Record
    from records.store import RecordStore

# What CUDA takes for a process beside what torch counts.
CONTEXT = 2**29
# A training takes more than its profile, which neither validates nor keeps a checkpoint.
OVER_PROFILE = 1.25


@dataclass(frozen=True)
class Gpu:
    """One that this process may use: by `name`, as CUDA_VISIBLE_DEVICES has it, and by its place among them."""

    name: str
    place: int

    @cached_property
    def memory(self) -> int:
        """In bytes."""
        import torch

        return int(torch.cuda.get_device_properties(self.place).total_memory)


def add_options(run: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """To `bench run`."""
    run.add_argument("--slots", type=positive, help="cells at a time (default: one per GPU, or per core and 4 GiB)")
    run.add_argument("--share", type=positive, metavar="N", help="cells at a time on one GPU, in place of the suite's")
    memory = "what a cell takes of a GPU's memory, as '8 GB', or 'auto': no more share a GPU than fit"
    run.add_argument("--gpu-memory", type=_size, metavar="SIZE", help=memory)
    processes = "processes that a cell trains in, each on a GPU or on its part of the cores, in place of the suite's"
    run.add_argument("--processes", type=positive, metavar="N", help=processes)
    shard = "the processes of a cell divide the backbone's frozen weights, where one device could not hold them (FSDP)"
    run.add_argument("--shard", action="store_true", default=None, help=shard)


def _size(text: str) -> str:
    try:
        return text if text == AS_PROFILED else str(bytes_of(text) and text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def with_options(file: SuiteFile, arguments: argparse.Namespace) -> SuiteFile:
    """The suite's file with what was given on the command line in place of what it says. Raises UsageError where a cell
    of one process is to divide its weights."""
    names = ("share", "gpu_memory", "processes", "shard")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    found = file.model_copy(update=given)
    if found.shard and found.processes == 1:
        raise UsageError(
            "shard: a cell's processes divide the weights, and there is one: ask for more of them (processes: 2, or"
            " --processes 2)"
        )
    return found


def slots(file: SuiteFile, suite: Suite | ResolvedSuite, store: RecordStore, count: int | None = None) -> list[Slot]:
    """Each with as many GPUs as a cell has processes, and as many on the same GPUs as may share them. Without a GPU,
    shares of the cores. `count` asks for fewer or, on a processor, for another number. `file` is the suite's with what
    was given in its place; `store` has what cells took before. Raises UsageError."""
    cores = environment.cores()
    gpus = visible_gpus()
    if not gpus:
        count = count or max(1, environment.side_by_side() // file.processes)
        return [Slot(i, max(1, cores // count)) for i in range(count)]
    groups = [gpus[i : i + file.processes] for i in range(0, len(gpus), file.processes)]
    groups = [group for group in groups if len(group) == file.processes]
    if not groups:
        raise UsageError(f"processes: {file.processes} takes as many GPUs, and there are {len(gpus)}")
    need = _need(file, suite, store)
    at_a_time = [min(_fitting(gpu, file.share, need) for gpu in group) for group in groups]
    # First one on each, then a second on each: two cells meet on a GPU only where none is free.
    places = [
        group for turn in range(max(at_a_time)) for group, most in zip(groups, at_a_time, strict=True) if turn < most
    ][:count]
    threads = max(1, cores // len(places))
    return [
        Slot(i, threads, {"CUDA_VISIBLE_DEVICES": ",".join(gpu.name for gpu in group)})
        for i, group in enumerate(places)
    ]


def visible_gpus() -> list[Gpu]:
    """By index, or as the environment names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
    return [Gpu(name, place) for place, name in enumerate(names)]


def _fitting(gpu: Gpu, share: int | None, need: int | None) -> int:
    """How many cells may share it."""
    if need is None:
        return share or 1
    fit = gpu.memory // (need + CONTEXT)
    if not fit:
        have, asked = (f"{size / 2**30:.1f} GiB" for size in (gpu.memory, need + CONTEXT))
        raise UsageError(f"gpu_memory: a cell takes {asked} with what CUDA needs, and GPU {gpu.name} has {have}")
    return min(share or fit, fit)


def _need(file: SuiteFile, suite: Suite | ResolvedSuite, store: RecordStore) -> int | None:
    """Bytes that a cell takes of a GPU, None where that is not known."""
    if file.gpu_memory != AS_PROFILED:
        return bytes_of(file.gpu_memory) if file.gpu_memory else None
    records: list[Record] = []
    with contextlib.suppress(ResultsError):  # a folder that cannot be read is the run's to tell
        records = list(store.records())
    peaks = {
        _kind(record.cell): record.cost.peak_memory_bytes
        for record in records
        if record.cost and record.cost.peak_memory_bytes
    }
    kinds = {_kind(cell) for cell in suite.cells.values()}
    return round(OVER_PROFILE * max(peaks[kind] for kind in kinds)) if kinds <= peaks.keys() else None


def _kind(cell: Cell) -> tuple[str, str, str]:
    return cell.backbone, cell.label, cell.task
