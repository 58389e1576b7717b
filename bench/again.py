"""A trained cell taken up again outside of a run, in the precision and on the threads of the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import is_bf16_available

from bench.environment import cores
from bench.lifeline import silent
from bench.origin import Origin
from bench.worker import CellRun, quieten
from records.record import Record


@contextlib.contextmanager
def again(origin: Origin, record: Record) -> Iterator[CellRun]:
    """In this process, in the recorded precision where the suite left that to the machine and this one has it; and, if
    it was computed on a processor, on as many threads, as far as there are cores for them: how a matrix product is
    divided decides the order of its sums, and with that, in bf16, the fourth decimal of a probability. Raises what
    building a CellRun raises."""
    quieten()
    job = origin.job(record.id)
    precision, threads, device = map(record.environment.get, ("precision", "threads", "device"))
    if job.cell.precision == "auto" and (precision == "no" or (precision == "bf16" and is_bf16_available())):
        job = replace(job, cell=job.cell.model_copy(update={"precision": precision}))
    before = torch.get_num_threads()
    if device == "cpu" and isinstance(threads, int) and threads > 0:
        torch.set_num_threads(min(threads, cores()))
    try:
        with _accelerator_of_its_own(), silent() as line:
            yield CellRun(job, line)
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _accelerator_of_its_own() -> Iterator[None]:
    """accelerate has one precision for a process: what is begun within may have another one than what was before."""
    states = [state._shared_state for state in (AcceleratorState, PartialState)]
    before = [dict(state) for state in states]
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield
    finally:
        for state, was in zip(states, before, strict=True):
            state.clear()
            state.update(was)
