"""A cell in several processes: the scores of one process, and an end together."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import time
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest
import torch
from torch import distributed

from bench import ranks
from bench.data import MICRO_BATCHES, in_micro_batches
from bench.job import Job
from bench.launchers import processes
from bench.lifeline import Lifeline
from records.store import RecordStore
from tests.bench.test_records import cell, record
from tests.conftest import PLUGINS, read_records


@pytest.fixture
def without_dropout(tiny_backbone: Path, tmp_path: Path) -> Path:
    """What dropout draws depends on how a batch is divided."""
    folder = tmp_path / "no-dropout"
    shutil.copytree(tiny_backbone, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def results_of(found) -> dict[str, dict]:
    return {record["cell"]["label"]: record for record in read_records(found).values()}


METHODS = {"full": {"lr": 1e-3}, "lora": {"rank": 2, "dropout": 0.0}}


@pytest.mark.exhaustive
def test_two_processes_give_the_scores_of_one(bench, write_suite, without_dropout, tmp_path):
    budget = {
        "train_examples": 61,
        "validation_examples": 40,
        "test_examples": 59,
        "epochs": 2,
        "batch_size": 8,
        "max_length": 32,
    }
    # The last batch of an epoch has five examples, which two ranks cannot share evenly.
    suite = write_suite(backbones=[str(without_dropout)], methods=METHODS, budget=budget, profile=False)
    for folder, count in (("one", 1), ("two", 2)):
        done = bench("run", suite, "--results", tmp_path / folder, "--processes", count, "--slots", 1)
        assert done.returncode == 0, done.stdout + done.stderr
    one, two = results_of(tmp_path / "one"), results_of(tmp_path / "two")
    for label in METHODS:
        alone, shared = one[label], two[label]
        assert shared["id"] == alone["id"]
        assert shared["data"] == alone["data"]
        assert shared["environment"]["processes"] == 2 and "processes" not in alone["environment"]
        assert shared["test"] == pytest.approx(alone["test"], abs=0.02)
        for here, there in zip(shared["history"], alone["history"], strict=True):
            assert here["train_loss"] == pytest.approx(there["train_loss"], rel=1e-4)
            assert here["validation_loss"] == pytest.approx(there["validation_loss"], rel=1e-4)


def test_gradients_of_a_divided_batch_add_up_to_those_of_the_whole(monkeypatch):
    """Whatever the rest of five rows by two, and of one row by two, is."""

    def make(rows):
        return {"rows": list(rows)}

    for size, ranks_ in ((5, 2), (1, 2), (7, 3)):
        monkeypatch.setattr(ranks, "count", lambda n=ranks_: n)
        seen = []
        for rank in range(ranks_):
            monkeypatch.setattr(ranks, "own", lambda r=rank: r)
            batch = in_micro_batches(make, [{"row": row} for row in range(size)], size)
            assert [row["row"] for row in batch["rows"]] == list(range(size))
            seen += [row["row"] for part in batch[MICRO_BATCHES] for row in part["rows"]]
        assert sorted(seen) == list(range(size))


def test_each_batch_is_asked_about_by_one_rank(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 3)
    found: list[tuple[int, str]] = []
    for rank in range(3):
        monkeypatch.setattr(ranks, "own", lambda r=rank: r)
        found += ranks.own_batches("abcdefg")
    monkeypatch.setattr(ranks, "gather_object", lambda _: found)
    assert "".join(ranks.gathered([])) == "abcdefg"
    # Of a rank that cut its examples into other batches than the rest.
    found.append((5, "again"))
    with pytest.raises(ranks.RanksDiffer):
        ranks.gathered([])


def writes(job: Job, line: Lifeline, threads: int) -> None:
    """As a worker does: every rank computes, one of them writes."""
    total = torch.tensor(float(ranks.own() + 1))
    distributed.all_reduce(total)
    if ranks.may_write("trained", None):
        RecordStore(job.results).write(record(job.cell, status="trained", test={"accuracy": total.item() / 10}))


def fails(job: Job, line: Lifeline, threads: int) -> None:
    """The second; the others wait for it, until they can no longer."""
    try:
        if ranks.own() == 1:
            raise RuntimeError("no flux")
        distributed.barrier()
    except RuntimeError as error:
        ranks.may_write("failed", str(error))


def fail_alike(job: Job, line: Lifeline, threads: int) -> None:
    ranks.may_write("failed", "the loss is not finite")


def dies(job: Job, line: Lifeline, threads: int) -> None:
    if ranks.own() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1000)


def disagree(job: Job, line: Lifeline, threads: int) -> None:
    ranks.may_write(*[("trained", None), ("n/a", "no place for it")][ranks.own()])


@pytest.mark.parametrize(
    ("work", "status", "reason"),
    [
        (writes, "trained", None),
        (fails, "failed", r"process 2 of 2: no flux"),
        (fail_alike, "failed", r"the loss is not finite"),
        (dies, "failed", r"process 2 of 2: the worker was killed by SIGKILL \(out of memory, if nobody killed it\)"),
        (disagree, "failed", r"its processes do not agree on what came of it: .*no place for it.*"),
    ],
)
def test_ranks_end_together_and_the_first_reason_is_the_cells(tmp_path, work, status, reason):
    store = RecordStore(tmp_path)
    store.make_room(cell().id)
    job = Job(cell(), "train", tmp_path, tmp_path, (), 2, processes=2)
    listens, speaks = Pipe(duplex=False)
    with listens, speaks:
        processes.run(work, job, speaks, threads=2)
    found = store.read(cell().id)
    assert found.status == status
    assert found.reason is None if reason is None else re.fullmatch(reason, found.reason)
    assert found.test == ({"accuracy": 0.3} if status == "trained" else {})
    assert multiprocessing.active_children() == []


APART = [str(PLUGINS / "colours.py"), str(PLUGINS / "ranks_apart.py")]


@pytest.mark.exhaustive
def test_a_cell_whose_ranks_go_apart_or_die_is_one_cells_matter(bench, write_suite, tmp_path):
    methods = ["drifts", "raises_on_one", "dies_on_one", "head"]
    ended = bench("run", write_suite(methods=methods, plugins=APART, profile=False), "--processes", 2, "--slots", 1)
    assert ended.returncode == 1
    found = results_of(tmp_path / "results" / "tiny")
    assert found.keys() == set(methods), ended.stdout + ended.stderr
    assert found["head"]["status"] == "trained"
    assert "have come to learn different things" in found["drifts"]["reason"]
    assert found["raises_on_one"]["reason"] == "process 2 of 2: RuntimeError: the flux capacitor is empty"
    assert found["dies_on_one"]["reason"].startswith("process 2 of 2: the worker was killed by SIGKILL")
    assert found["dies_on_one"]["attempts"] == 2


@pytest.mark.exhaustive
def test_a_rank_that_hangs_ends_with_all_others_at_the_time_limit(bench, write_suite, tmp_path):
    suite = write_suite(methods=["hangs_on_one"], plugins=APART, profile=False)
    bench("run", suite, "--processes", 2, "--slots", 1, "--time-limit", "20 s")
    [found] = results_of(tmp_path / "results" / "tiny").values()
    assert found["reason"].startswith("stopped after 20 s, its time limit")
    server, *_ = [each for each in psutil.Process().children() if "forkserver" in " ".join(each.cmdline())]
    assert server.children(recursive=True) == []
