"""What a worker writes down of what goes wrong inside it."""

from __future__ import annotations

import math
import os
import re
import signal
import sys

import pytest
import torch
from accelerate import Accelerator

from bench import kernels, worker
from bench.failures import NotApplicable
from bench.job import Job
from bench.lifeline import Lifeline
from records.store import RecordStore
from tests.bench.test_records import cell, record


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Wicked(BaseException):
    """No subclass of Exception."""


def raise_(error: BaseException) -> None:
    raise error


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """The record of a cell whose work is the given call."""
    read, write = os.pipe()

    class Reports:
        def fileno(self) -> int:
            return write

    used: list[str] = []

    def run(work, stage: str = "train"):
        class CellRun:
            def __init__(self, *_):
                assert used.pop() == stage, "our kernels are in use before anything is computed"
                work()

            def environment(self):
                return {}

            train = profile = lambda self, record: None

        monkeypatch.setattr(worker, "CellRun", CellRun)
        monkeypatch.setattr(worker, "_redirect_output", lambda *_, **__: None)
        # This process has other tests to run.
        monkeypatch.setattr(kernels, "use", lambda: used.append(stage))
        store = RecordStore(tmp_path)
        store.make_room(cell().id)
        before = signal.getsignal(signal.SIGINT)
        worker.run(Job(cell(), stage, tmp_path, tmp_path, (), 1), Lifeline(Reports()), torch.get_num_threads())
        signal.signal(signal.SIGINT, before)
        return store.read(cell().id)

    yield run
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (lambda: sys.exit(0), r"ended the process: sys\.exit\(0\) at test_worker\.py:\d+"),
        (lambda: sys.exit("enough"), r"ended the process: sys\.exit\('enough'\) at test_worker\.py:\d+"),
        (lambda: raise_(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: raise_(Wicked("gone")), "Wicked: gone"),
        (lambda: raise_(BadText()), "BadText: .*cannot be shown"),
        (lambda: raise_(MemoryError("much")), "out of memory: much"),
        (lambda: raise_(ValueError("red\x1b[31m\n\x1b]0;title\x07text\ud800")), "ValueError: red text$"),
        (lambda: raise_(OSError("hf_" + "a" * 30)), r"OSError: \[secret\]$"),
    ],
)
def test_whatever_ends_a_cells_work_is_its_reason(outcome, raised, reason):
    found = outcome(raised)
    assert found.status == "failed"
    assert re.search(reason, found.reason), found.reason


def test_a_profile_that_fails_keeps_the_scores(outcome, tmp_path):
    trained = record(cell(), status="trained", test={"accuracy": 0.5}, validation={"accuracy": 0.75})
    RecordStore(tmp_path).write(trained)
    for error in (RuntimeError("no"), SystemExit(0), NotApplicable("no")):
        found = outcome(lambda error=error: raise_(error), "profile")
        assert found.status == "trained"
        assert found.test == trained.test
        assert found.reason.startswith("no cost profile: ")


def test_a_profile_whose_record_is_lost_makes_no_scored_cell(outcome, tmp_path):
    assert outcome(lambda: None, "profile").status == "failed"
    path = tmp_path / "cells" / cell().id / "record.json"
    path.write_text(path.read_text()[:50])
    found = outcome(lambda: None, "profile")
    assert found.status == "failed" and "not a record" in found.reason


def test_forgetting_of_a_model_that_diverged_is_no_number(monkeypatch):
    """The backbone's loss on general text, of which a single window is undefined."""
    from bench.forms.base import Predicted
    from bench.scoring import Diverged

    losses = iter([1.0, math.nan])

    class Form:
        def predict(self, model, batch):
            return Predicted(next(losses), 1, [0.0], [(1, 1)])

    class Split:
        def each(self, work):
            return work([None, None])

    class Fake:
        cell = cell(forgetting={"general": "1"})
        tokenizer = None
        line = type("Line", (), {"at": lambda *_: None, "alive": lambda self, items: items})()
        accelerator = Accelerator(cpu=True)

        def _plugin(self, *_):
            return lambda: None

    monkeypatch.setattr(worker, "LanguageModelling", lambda *_: Form())
    monkeypatch.setattr(worker, "prepare", lambda *_, **__: type("TaskData", (), {"test": None})())
    monkeypatch.setattr(worker, "FittingSplit", lambda *_: Split())
    with pytest.raises(Diverged, match="general text's loss is not finite after tuning"):
        worker.CellRun.general_loss(Fake(), torch.nn.Linear(1, 1), " after tuning")
