"""Jobs as processes: none outlives the run that started it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from bench.job import Job
from bench.launchers import local
from bench.scheduler import Scheduler
from records.store import RecordStore
from tests.bench.test_scheduler import Listener, suite_of
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


@pytest.mark.parametrize("chosen", [None, "glibc.malloc.check=0"])
@pytest.mark.usefixtures("server_of_its_own")
def test_workers_keep_the_memory_that_they_have_freed_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if chosen:
        monkeypatch.setenv("GLIBC_TUNABLES", chosen)
    store, launcher = RecordStore(tmp_path / "results"), local.LocalLauncher(work="tests.bench.odd_workers")
    (record,) = Scheduler(suite_of(tmp_path, "tells_how_it_has_memory"), store, launcher, [local.Slot(0, 1)]).run(
        Listener()
    )
    told = store.log(record.id).read_text()
    assert chosen in told if chosen else "hugetlb=1" in told and "trim_threshold" in told
    assert os.environ.get("GLIBC_TUNABLES") == chosen
