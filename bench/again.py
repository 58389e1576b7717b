"""A trained cell taken up again outside of a run, computing as it did in the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import torch
from accelerate.state import AcceleratorState

from bench.environment import cores
from bench.lifeline import silent
from bench.origin import Origin
from bench.worker import CellRun, quieten
from records.cell import Precision
from records.record import Record


@contextlib.contextmanager
def again(origin: Origin, record: Record) -> Iterator[CellRun]:
    """In this process, in the recorded precision (the suite may have left that to the machine) and, if it was computed
    on a processor, on as many threads, as far as this machine has cores for them: how a matrix product is divided
    decides the order of its sums, and with that, in bf16, the fourth decimal of a probability. Raises what building a
    CellRun raises."""
    quieten()
    job = origin.job(record.id)
    precision, threads, device = map(record.environment.get, ("precision", "threads", "device"))
    if precision in get_args(Precision):
        job = replace(job, cell=job.cell.model_copy(update={"precision": precision}))
    AcceleratorState._reset_state(reset_partial_state=True)  # or the last cell's precision would be this one's, too
    before = torch.get_num_threads()
    if device == "cpu" and isinstance(threads, int) and threads > 0:
        torch.set_num_threads(min(threads, cores()))
    try:
        with silent() as line:
            yield CellRun(job, line)
    finally:
        torch.set_num_threads(before)
