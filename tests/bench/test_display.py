"""What a run tells the person who watches it, where there is no terminal."""

from __future__ import annotations

import io
import math
import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench.display import RunDisplay, TimeLeft, doing, outcome, status_table
from bench.job import Job
from tests.bench.test_records import cell, record
from tests.conftest import ROOT


def test_every_training_is_told_when_it_ends_and_the_cell_counts_once_profiled(tmp_path):
    cells = {c.id: c for c in (cell(seed=seed) for seed in range(3))}
    first, second, third = cells.values()
    told = io.StringIO()
    with RunDisplay(Console(file=told, width=200)) as display:
        display.begin("mine", cells, [record(first)], 2)
        display.ended(record(second, status="trained", validation={"accuracy": 0.75}), "train", 5.0)
        display.ended(record(second, validation={"accuracy": 0.75}), "profile", 2.0)
        display.ended(record(third, status="failed", reason="no luck"), "train", 5.0)
    lines = told.getvalue().splitlines()
    assert lines[0] == "mine: 3 cells, 1 finished before, 2 at a time"
    assert lines[1].startswith("[1/3] trained b · full · t · seed 1: validation accuracy 0.750 (5 s) · 1 trained")
    assert lines[2].startswith("[2/3] ok ")
    assert "· 0 trained" in lines[2]
    assert lines[3].startswith("[3/3] failed  b · full · t · seed 2: no luck")
    assert "1 failed" in lines[3]


def test_time_left_counts_trainings_by_slot_and_profiles_one_at_a_time(tmp_path):
    left = TimeLeft()
    assert left.total([], [], 2) is None
    left.learn(cell(), "train", 40.0)
    left.learn(cell(), "profile", 6.0)
    pending = [Job(cell(seed=seed), "train", tmp_path, tmp_path, (), 1) for seed in range(4)]
    pending.append(Job(cell(seed=9), "profile", tmp_path, tmp_path, (), 1))
    assert left.total([], pending, 2) == pytest.approx(4 * 40 / 2 + 5 * 6)


def test_without_profiles_a_trained_cell_is_done():
    cells = {c.id: c for c in (cell(seed=seed) for seed in range(2))}
    first, second = cells.values()
    told = io.StringIO()
    with RunDisplay(Console(file=told, width=200)) as display:
        display.begin("mine", cells, [record(first, status="trained")], 1, False)
        display.ended(record(second, status="trained", validation={"accuracy": 0.75}), "train", 5.0)
    lines = told.getvalue().splitlines()
    assert lines[0] == "mine: 2 cells, 1 finished before, 1 at a time"
    assert lines[1].startswith("[2/2] trained ") and "0 trained, 0 failed" in lines[1]

    def table(profiles: bool) -> list[str]:
        shown = io.StringIO()
        found = {c.id: record(c, status="trained", validation={"accuracy": 0.5}) for c in cells.values()}
        Console(file=shown, width=200).print(status_table(cells, found, profiles))
        return shown.getvalue().splitlines()[1].split()

    assert table(False)[3:7] == ["2", "0", "0", "0"]
    assert table(True)[3:7] == ["0", "0", "0", "2"]


def test_undefined_scores_are_called_so_and_are_no_part_of_the_mean():
    cells = {c.id: c for c in (cell(seed=seed) for seed in range(3))}
    values = dict(zip(cells, (0.25, math.nan, 0.75), strict=True))
    found = {key: record(cells[key], validation={"error_rate": value}) for key, value in values.items()}
    assert [outcome(one) for one in found.values()] == [
        "validation error_rate 0.250", "validation error_rate undefined", "validation error_rate 0.750",
    ]  # fmt: skip
    shown = io.StringIO()
    Console(file=shown, width=200).print(status_table(cells, found))
    assert "error_rate 0.500 (n=2, undefined in 1)" in shown.getvalue()
    shown = io.StringIO()
    for one in found.values():
        one.validation["error_rate"] = math.inf
    Console(file=shown, width=200).print(status_table(cells, found))
    assert "error_rate undefined (n=0, undefined in 3)" in shown.getvalue()


def test_a_cell_that_has_fallen_silent_is_told_and_again_when_its_silence_has_doubled():
    run = SimpleNamespace(job=SimpleNamespace(cell=cell()), done=5, total=20, doing="training", silent=0.0)
    told = io.StringIO()
    with RunDisplay(Console(file=told, width=200)) as display:
        for silent in (10, 299, 301, 400, 599, 603, 900, 1, 200, 301):
            run.silent = silent
            display._tell_silent([run])
    assert [line.rpartition(", ")[2] for line in told.getvalue().splitlines()] == [
        "silent for 5 min", "silent for 10 min", "silent for 5 min",
    ]  # fmt: skip
    assert "step 5 of 20" in told.getvalue()
    run.silent, run.total = 30, 0
    assert doing(run) == "training"


def test_a_reader_that_goes_away_does_not_end_the_run():
    script = (
        "from bench.display import RunDisplay\n"
        "display = RunDisplay()\n"
        "for _ in range(100): display.note('x' * 10000)\n"
        "import sys; print('still here', file=sys.stderr)\n"
    )
    ended = subprocess.run(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} | head -c 1", shell=True, capture_output=True,
        text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("x", "still here\n")
