"""What a run tells the person who watches it, where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.display import RunDisplay, TimeLeft
from bench.job import Job
from tests.bench.test_records import cell, record


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
