"""Stands in for bench.worker: cells of a tenth of a second, which keep files and read a cache as real ones do. Their
results follow from their seeds alone. Imports no torch."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from bench.caches import kept as cached
from bench.job import Job
from bench.lifeline import Lifeline
from records import predictions
from records.record import Cost, Record
from records.store import RecordStore
from tests.faults import points

STEPS = 8
EXAMPLES = 50
# The label of a cell that ends itself, always.
DIES = "dies"

if (results := os.environ.get("BENCH_TEST_RESULTS")) and "forkserver" in " ".join(sys.orig_argv):
    points.arm("server", Path(results))


def run(job: Job, line: Lifeline, threads: int) -> None:
    """Trains for a moment, and leaves predictions, a state, the examples' texts and a record."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store = RecordStore(job.results)
    log = os.open(store.log(job.cell.id), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    points.arm("worker", job.results, job.cell.seed)
    line.at("training")
    drawn = random.Random(int((cache_entry() / "number").read_text()) + job.cell.seed)
    answers = [drawn.randrange(2) for _ in range(EXAMPLES)]
    for step in range(STEPS):
        points.reach("step")
        time.sleep(0.01)
        line.progress(step + 1, STEPS)
        line.end_a_fork()
    if job.cell.label == DIES:
        os._exit(3)
    record = store.read(job.cell.id, job.cell) if job.stage == "profile" else _trained(job, store, answers)
    assert record is not None
    line.end_a_fork()
    profiled = {"status": "ok", "cost": Cost(protocol={}, stored_bytes=EXAMPLES)}
    store.write(record.model_copy(update=profiled if job.stage == "profile" else {"status": "trained"}))


def _trained(job: Job, store: RecordStore, answers: list[int]) -> Record:
    examples = [f"example {index}" for index in range(EXAMPLES)]
    found = predictions.Predictions(
        kind="classification",
        examples=examples,
        predictions=answers,
        references=[0] * EXAMPLES,
        scores={"accuracy": [float(each == 0) for each in answers]},
    )
    scores = {"accuracy": answers.count(0) / EXAMPLES}
    record = Record(
        id=job.cell.id, cell=job.cell, status="trained", attempts=job.attempt, started="now", finished="now",
        wall_seconds=time.perf_counter() % 1, test=scores, validation=scores,
    )  # fmt: skip
    for name, data in (("predictions.parquet", predictions.to_bytes(found)), ("state.safetensors", _state(answers))):
        record.kept[name] = store.keep(record.id, name, data)
    store.write_texts(job.cell.task, {each: {"text": each} for each in examples})
    return record


def _state(answers: list[int]) -> bytes:
    """Of one tensor of bytes."""
    data = bytes(answers)
    head = json.dumps({"answers": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return len(head).to_bytes(8, "little") + head + data


def cache_entry() -> Path:
    """The folder under BENCH_CACHE that all cells read."""

    def write(folder: Path) -> None:
        (folder / "number").write_text("17")

    return cached(Path(os.environ["BENCH_CACHE"]) / "entry", lambda: write)
