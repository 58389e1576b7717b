"""Trackers are told of cells, and whatever they do is no cell's matter."""

from __future__ import annotations

import subprocess
import sys

import pytest
from accelerate.tracking import GeneralTracker

from bench import trackers, tracking
from bench.folders import UsageError
from records.store import RecordStore
from tests.reports import synthetic_results as synthetic


class Listening(GeneralTracker):
    """Of accelerate's kind: takes note of what it is told."""

    name = "listening"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__(_blank=True)
        self.told: list[tuple[str, object]] = []

    @property
    def tracker(self):
        return self

    def start(self):
        self.told.append(("start", None))

    def store_init_configuration(self, values):
        self.told.append(("configuration", values))

    def log(self, values, step=None, **_):
        self.told.append((f"step {step}", values))

    def finish(self):
        self.told.append(("finish", None))


def test_a_cell_is_a_run_with_its_history_its_scores_and_later_its_cost(tmp_path):
    tracker = Listening()
    run = trackers.Run(tracker, "mine", tmp_path)
    whole = synthetic.record(synthetic.cell("lora", "rotten_tomatoes", 3))
    run.hand(whole.model_copy(update={"status": "trained", "cost": None}))
    names = [name for name, _ in tracker.told]
    steps = [f"step {line.step}" for line in whole.history]
    assert names == ["start", "configuration", *steps, f"step {whole.data.steps}", "finish"]
    configuration = dict(tracker.told)["configuration"]
    assert configuration["method"] == "lora" and configuration["seed"] == 3
    assert configuration["hyperparameters/rank"] == 8 and configuration["budget/epochs"] == whole.cell.budget.epochs
    first = tracker.told[2][1]
    assert first["validation/accuracy"] == whole.history[0].validation["accuracy"]
    assert first["train_loss"] == whole.history[0].train_loss
    last = tracker.told[-2][1]
    assert last["test/accuracy"] == whole.test["accuracy"]
    assert not any(name.startswith("cost/") for name in last)

    tracker.told.clear()
    run.hand(whole)
    [(_, _), (at, costs), (_, _)] = tracker.told
    assert at == f"step {whole.data.steps}"
    assert costs["cost/step_seconds"] == whole.cost.step_seconds
    assert all(name.startswith("cost/") for name in costs)

    # Nothing is told twice, as where the first word of a cell was read only after it was profiled.
    tracker.told.clear()
    run.hand(whole)
    assert tracker.told == []


def test_what_one_cell_cannot_be_told_of_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    store, told = RecordStore(tmp_path), []
    records = [synthetic.record(synthetic.cell("lora", "rotten_tomatoes", seed)) for seed in range(3)]
    for each in records:
        store.write(each)

    class Sullen:
        def __init__(self, *_):
            pass

        def hand(self, record):
            if record.id == records[1].id:
                raise ConnectionError("nobody there")
            told.append(record.id)

    monkeypatch.setattr(trackers, "Run", Sullen)
    lines = [f"{each.id}\n" for each in records]
    monkeypatch.setattr(sys, "stdin", [*lines, "000000000000\n"])
    assert trackers.main("wandb", "mine", str(tmp_path)) == 1
    assert told == [records[0].id, records[2].id]
    assert "nobody there" in capsys.readouterr().err.splitlines()[-1]


def test_a_tracker_that_is_not_installed_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--tracker wandb: its package is not here; pip install wandb$"):
        tracking.Tracker("wandb", "mine", tmp_path, print)


@pytest.mark.parametrize(
    ("program", "cells", "told"),
    [
        ("import sys; open('heard', 'w').write(sys.stdin.read())", 2, None),
        ("import sys; sys.stdin.read(); sys.exit('no such key')", 2, "could not be told all: no such key"),
        ("import time; time.sleep(1000)", 2, "was not done 1 s after the last cell"),
        # More than a pipe holds.
        ("import time; time.sleep(1000)", 6000, "does not keep up"),
    ],
)
def test_whatever_a_tracker_does_the_run_goes_on(tmp_path, monkeypatch, program, cells, told):
    """It is another process: here one that listens, one that fails, and two that hang."""
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.chdir(tmp_path)
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **keys: popen([command[0], "-c", program], **keys))
    said: list[str] = []
    tracker = tracking.Tracker("wandb", "mine", tmp_path, said.append)
    whole = synthetic.record(synthetic.cell("lora", "rotten_tomatoes", 0))
    for _ in range(cells):
        tracker.hand(whole)
    tracker.close(1.0 if "sleep" in program else 30.0)
    if told is None:
        assert said == []
        assert (tmp_path / "heard").read_text() == 2 * f"{whole.id}\n"
    else:
        assert len(said) == 1
        assert said[0].startswith(f"the tracker wandb {told} (")
        assert said[0].endswith("the cells are complete without it")
    assert tracker._process.poll() is not None
