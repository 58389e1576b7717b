"""The attempts at training a cell: from where it was cut off, and with as many examples at a time as memory allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from accelerate.utils import set_seed

from bench.checkpoints import UnusableCheckpoint
from bench.memory import OutOfMemory, fitting
from bench.scoring import Diverged
from bench.training import Training, train
from bench.unread import leave_out

if TYPE_CHECKING:
    from bench.data import TaskData
    from bench.worker import CellRun
    from methods.anatomy import Anatomy
    from records.record import Record


class Trained(NamedTuple):
    """A trained model, the backbone's own number of parameters, the data, and what came of training."""

    anatomy: Anatomy
    backbone: int
    data: TaskData
    training: Training


def trained(run: CellRun, record: Record) -> Trained:
    """Trains the cell, and notes in the record what it took. Raises OutOfMemory where not even one example at a time
    fits, and what training raises."""
    budget, checkpoints = run.budget, run.checkpoints
    asked = min(budget.micro_batch or budget.batch_size, budget.batch_size)
    words = f"batches of {budget.batch_size} examples of up to {budget.max_length} tokens to train on"

    def begun_from(saved: dict[str, Any] | None) -> tuple[int, Trained]:
        def attempt(size: int) -> Trained:
            return _attempt(run, size, saved if saved is not None and saved["micro_batch"] == size else None)

        return fitting(asked if saved is None else saved["micro_batch"], attempt, words, run.accelerator.device)

    try:
        try:
            size, found = begun_from(checkpoints.read())
        except UnusableCheckpoint as error:
            record.notes.append(f"training was begun anew, and did not go on from its checkpoint: {error}")
            checkpoints.remove()
            size, found = begun_from(None)
    except (Diverged, OutOfMemory):
        checkpoints.remove()  # it would come to the same again
        raise
    record.resumed_from = found.training.resumed_from
    record.earlier_seconds = checkpoints.earlier_seconds if record.resumed_from else 0
    if size < asked:
        record.micro_batch = size
        record.notes.append(
            f"{asked} examples at a time did not fit into memory: it was trained with {size} at a time, whose gradients"
            f" make the same batches of {budget.batch_size}"
        )
    return found


def _attempt(run: CellRun, size: int, saved: dict[str, Any] | None) -> Trained:
    """With so many examples at a time, from the cell's seed or from what was saved."""
    try:
        anatomy, backbone = run.adapted()
        run.line.at("reading data")
        data, sources = run.prepared(), run.sources()
        leave_out(anatomy, data.form)
        run.line.at("training" if run.method.phases() else "validating")
        set_seed(run.cell.seed)
        training = train(
            run.accelerator,
            anatomy,
            run.method,
            data,
            run.budget.model_copy(update={"micro_batch": size}),
            run.cell.seed,
            run.line.progress,
            sources,
            run.line.alive,
            run.cell.stop,
            run.checkpoints,
            saved,
        )
    except Exception:
        run.accelerator.free_memory()  # which holds on to what it has prepared
        raise
    return Trained(anatomy, backbone, data, training)
