"""Jobs as processes: none outlives the run that started it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from bench.job import Job
from bench.launchers import local
from tests.reports import synthetic_results as synthetic


@pytest.mark.exhaustive
@pytest.mark.usefixtures("server_of_its_own")
def test_a_job_caught_by_an_interrupt_at_its_start_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "Running", interrupted)  # what is made once the process has started
    cell = synthetic.cell("lora", "rotten_tomatoes", 0)
    launcher = local.LocalLauncher()
    with pytest.raises(KeyboardInterrupt):
        launcher.start(Job(cell, "train", tmp_path, tmp_path, (), 1), local.Slot(0, 1))
    assert multiprocessing.active_children()
    launcher.stop()
    assert multiprocessing.active_children() == []
