"""A cell whose processes divide the backbone's weights: what one process gets, with half of them on each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from bench import ranks, sharding, worker
from bench.data import IDLE, MICRO_BATCHES, in_micro_batches
from bench.failures import failure
from bench.job import Job
from bench.launchers import processes
from bench.lifeline import Lifeline, silent
from bench.suite import Suite
from bench.worker import CellRun
from methods.anatomy import Anatomy
from records.record import Record
from records.store import RecordStore
from tests.bench.test_records import cell, record
from tests.conftest import PLUGINS
from tests.methods import tiny

CPU = torch.device("cpu")


def in_ranks(folder: Path, part: Callable[[Job, Lifeline], Any], job: Job | None = None) -> list[Any]:
    """What two ranks of a cell find, as JSON has it."""
    store = RecordStore(folder / "results")
    job = job or Job(cell(), "train", store.root, folder, (), 2, processes=2, shard=True)
    store.make_room(job.cell.id)

    def work(job: Job, line: Lifeline, threads: int) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that was forked
        torch.set_num_threads(1)
        (folder / f"{ranks.own()}.json").write_text(json.dumps(part(job, line)))
        if ranks.may_write("trained", None):
            store.write(record(job.cell, status="trained", test={"accuracy": 1.0}))

    listens, speaks = Pipe(duplex=False)
    with listens, speaks:
        processes.run(work, job, speaks, threads=2)
    assert store.read(job.cell.id).reason is None
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def held(model: torch.nn.Module) -> int:
    """Bytes of this rank's parameters."""
    mine = [p.to_local() if ranks.is_divided(p) else p for p in model.parameters()]
    return sum(p.numel() * p.element_size() for p in mine)


# What trains, or replaces, the backbone's own weights.
REFUSED = {
    "full": "nearly all of them are trained",
    "lt_sft": "nearly all of them are trained",
    "fish_mask": "nearly all of them are trained",
    "qlora": "in four bits",
    "random_mask": "changes single entries",
    "spiel": "changes single entries",
    "diff_pruning": "changes single entries",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_method_that_leaves_no_weights_to_divide_is_refused_in_a_line(name):
    model = tiny.tiny("bert")
    anatomy = Anatomy(model, tiny.head_of(model))
    tiny.METHODS[name].adapt(anatomy, tiny.TASK)
    with pytest.raises(sharding.NotShardable, match=REFUSED[name]) as refused:
        sharding.shard(anatomy, CPU)
    assert "run it without shard" in str(refused.value)
    assert not any(ranks.is_divided(parameter) for parameter in model.parameters())


def gap(name: str, architecture: str) -> tuple[float, float]:
    """The largest difference that sharding makes to a gradient, relative to the gradients' size, and the share of the
    frozen weights of layers that this rank still holds."""
    torch.manual_seed(0)
    model = tiny.tiny(architecture)
    anatomy = Anatomy(model, tiny.head_of(model))
    tiny.METHODS[name].adapt(anatomy, tiny.TASK)
    tiny.perturb(tiny.trainable(model).items())
    model.eval()

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(**tiny.batch(architecture, seed=1), labels=torch.tensor([0, 1, 2])).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    whole = gradients()
    frozen = [p for layer in anatomy.layers for p in layer.module.parameters() if not p.requires_grad]
    size = sum(p.numel() for p in frozen)
    sharding.shard(anatomy, CPU)
    twice = [gradients(), gradients()]
    assert all(found.keys() == whole.keys() for found in twice)
    scale = max(value.abs().max() for value in whole.values())
    apart = max((found[name] - whole[name]).abs().max() / scale for found in twice for name in whole)
    divided = {p for layer in anatomy.layers for p in layer.module.parameters() if ranks.is_divided(p)}
    return float(apart), sum(p.to_local().numel() for p in divided) / size


def test_try(tmp_path):
    import time

    def part(job, line):
        found = {}
        for pair in tiny.PAIRS:
            name, architecture = pair.values
            if name in REFUSED:
                continue
            t = time.time()
            try:
                said = gap(name, architecture)
            except Exception as error:
                said = failure(error)
            found[f"{name} {architecture}"] = (said, time.time() - t)
        return found

    one, two = in_ranks(tmp_path, part)
    for k, v in one.items():
        print(k, v, two[k] == v)
    assert 0
