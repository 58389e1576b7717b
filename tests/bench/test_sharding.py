"""A cell whose processes divide the backbone's weights: what one process gets, with half of them on each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.state import AcceleratorState, PartialState

from bench import ranks
from bench.failures import failure
from bench.job import Job
from bench.launchers import processes
from bench.lifeline import Lifeline, silent
from bench.suite import Suite
from bench.worker import CellRun
from records.record import Record
from records.store import RecordStore
from tests.conftest import PLUGINS

# The last batch of an epoch has one example, which one rank of two passes through the model and the other does not.
BUDGET = {
    "train_examples": 25, "validation_examples": 22, "test_examples": 21, "epochs": 1, "batch_size": 8,
    "micro_batch": 3, "max_length": 48, "max_target_length": 6,
}  # fmt: skip


def outcome(job: Job, line: Lifeline) -> dict[str, Any]:
    """What came of a cell: its record, its answers, and how many bytes of weights were held."""
    found = Record(id=job.cell.id, cell=job.cell, status="failed", attempts=1, started="", finished="", wall_seconds=0)
    said: dict[str, Any] = {}
    try:
        run = CellRun(job, line)
        seen: list[Any] = []
        adapted = run.adapted
        run.adapted = lambda: seen.append(adapted()) or seen[-1]  # type: ignore[method-assign]
        kept = run.train(found)
        said["answers"] = found.test
        said["files"] = sorted(kept.files)
        parameters = list(seen[-1][0].model.parameters())
        held = [p.to_local() if ranks.is_divided(p) else p for p in parameters]
        said["held"] = sum(p.untyped_storage().nbytes() for p in held)
        said["whole"] = sum(p.numel() * p.element_size() for p in parameters)
    except Exception as error:
        found.reason = failure(error)
    return said | json.loads(found.model_dump_json())


@pytest.fixture
def both(tmp_path: Path, backbones: dict[str, Path], tests_cache: Path, monkeypatch) -> Callable[..., Any]:
    """Trains every cell of a suite in one process, and in two that divide the weights; gives both, by label and task."""
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))

    def run(backbone: str, **keys: Any) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        suite = {
            "backbones": [str(backbones[backbone])], "seeds": [0], "precision": "no", "profile": False,
            "budget": BUDGET, "plugins": [str(PLUGINS / "colours.py"), str(PLUGINS / "kinds.py")],
        }  # fmt: skip
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(suite | keys))
        read = Suite.read(path)
        cells = list(read.cells.values())
        store = RecordStore(tmp_path / "results")
        store.make_room(cells[0].id)
        first = Job(cells[0], "train", store.root, tmp_path, read.plugin_files(cells[0]), 2, processes=2, shard=True)
        jobs = [replace(first, cell=cell, plugins=read.plugin_files(cell)) for cell in cells]

        def work(job: Job, line: Lifeline, threads: int) -> None:
            AcceleratorState._reset_state(reset_partial_state=True)
            outcomes = [outcome(each, line) for each in jobs]
            (tmp_path / f"rank{ranks.own()}.json").write_text(json.dumps(outcomes))
            if ranks.may_write("trained", None):
                store.write(Record.model_validate({k: v for k, v in outcomes[0].items() if k in Record.model_fields}))

        listens, speaks = Pipe(duplex=False)
        with listens, speaks:
            processes.run(work, first, speaks, threads=2)
        shared = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
        AcceleratorState._reset_state(reset_partial_state=True)
        with silent() as line:
            alone = [outcome(replace(each, processes=1, shard=False), line) for each in jobs]
        PartialState._reset_state()
        return {
            f"{cell.label} {cell.task}": (one, two, other)
            for cell, one, two, other in zip(cells, alone, *shared, strict=True)
        }

    return run


def test_try(both):
    import time

    for backbone, keys in (
        ("encoder", {"tasks": ["colours"], "methods": ["lora", "houlsby", "head", "ia3", "prefix_tuning", "prompt_tuning", "hyperformer", "bitfit", "pissa", "dora", "vera", "adalora", "top_layers", "madx", "hyperdecoder", "qlora", "random_mask", "spiel", "lt_sft", "fish_mask", "diff_pruning", "full", "layernorm"]}),
        ("decoder", {"tasks": ["say"], "methods": ["lora", "prompt_tuning", "zero_shot"], "form": "text"}),
    ):
        t = time.time()
        for name, (one, two, other) in both(backbone, **keys).items():
            print(name, one["status"], two["status"], two["reason"], one["test"] == two["test"], two.get("held", 0) / max(two.get("whole", 1), 1), other.get("held"))
            for a, b in zip(one["history"], two["history"]):
                print("   ", a["train_loss"] - b["train_loss"], a["validation_loss"] - b["validation_loss"])
        print(time.time() - t)
    assert 0
