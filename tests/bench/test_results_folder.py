"""A results folder is one suite's, and is where results can be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.launchers.local import LocalLauncher, Slot
from bench.scheduler import Scheduler
from records.store import RecordStore, ResultsError
from tests.bench.test_scheduler import Listener, _odd_workers_are_found, suite_of

__all__ = ["_odd_workers_are_found"]
pytestmark = pytest.mark.usefixtures("server_of_its_own")


def test_a_folder_holds_one_suite(tmp_path):
    def claim(folder: Path, *labels: str, results: Path | None = None) -> Listener:
        folder.mkdir(parents=True, exist_ok=True)
        store, listener = RecordStore(results or tmp_path / "results"), Listener()
        launcher = LocalLauncher(work="tests.bench.odd_workers")
        suite = suite_of(folder, *labels)
        Scheduler(suite, store, launcher, [Slot(0, 1)]).run(listener)
        return listener

    claim(tmp_path / "monday", "fine")
    written = (tmp_path / "results" / "manifest.json").read_text()
    other = suite_of(tmp_path / "friday", "forks", "fine")
    other.cells.pop(next(iter(other.cells)))
    with pytest.raises(ResultsError, match=r"another suite, \.\./monday/mine\.yaml.*--results"):
        Scheduler(other, RecordStore(tmp_path / "results"), LocalLauncher(), [Slot(0, 1)]).run(Listener())
    assert (tmp_path / "results" / "manifest.json").read_text() == written
    # The same file, edited; and the file moved, with its cells.
    assert claim(tmp_path / "monday", "fine", "forks").notes == []
    assert "2 of its 2 cells are kept" in claim(tmp_path / "tuesday", "fine", "forks").notes[0]
    # Moved together, it is at home anywhere, whatever the cells.
    (tmp_path / "away").mkdir()
    for name in ("tuesday", "results"):
        (tmp_path / name).rename(tmp_path / "away" / name)
    assert claim(tmp_path / "away" / "tuesday", "leaves_a_thread", results=tmp_path / "away" / "results").notes == []


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".lock").symlink_to(outside)
    for root in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), tmp_path / "linked"):
        with pytest.raises(ResultsError) as caught:
            Scheduler(suite_of(tmp_path, "fine"), RecordStore(root), LocalLauncher(), []).run(Listener())
        assert "\n" not in str(caught.value) and "no results can be kept here" in str(caught.value)
    assert outside.read_text() == "mine"
