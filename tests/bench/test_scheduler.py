"""One bad cell is one cell's matter: a scheduler and its launcher, with workers that go wrong in every way."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench import planning
from bench.cli import _lacking
from bench.launchers import local
from bench.launchers.local import LocalLauncher, Slot
from bench.scheduler import Scheduler
from bench.suite import Suite
from bench.suite_file import Keep
from records import files
from records.cards import Cards
from records.record import Record
from records.store import RecordStore, ResultsError
from tests.bench import no_fork
from tests.bench.test_records import cell
from tests.conftest import ROOT, wait_until

pytestmark = pytest.mark.usefixtures("server_of_its_own")


class Listener:
    """Takes note of what a display is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ends: list[Record] = []
        self.seen: list[tuple[int, int, str]] = []

    def begin(self, *_: object) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def refresh(self, running, pending) -> None:
        self.seen += [(run.done, run.total, run.doing) for run in running]

    def ended(self, record: Record, stage: str, seconds: float) -> None:
        self.ends.append(record)


def suite_of(folder: Path, *labels: str, profile: bool = False, name: str = "mine.yaml") -> SimpleNamespace:
    cells = {each.id: each for each in (cell(label=label, seed=seed) for seed, label in enumerate(labels))}
    return SimpleNamespace(
        name="mine", path=folder / name, cells=cells,
        file=SimpleNamespace(profile=profile, keep=Keep(), checkpoint="none"),
        plugin_files=lambda cell: (), resolved=lambda: {"name": "mine", "command": f"bench run {folder / name}"},
        cards=Cards, left_out={},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _odd_workers_are_found():
    """By the server, which has the current folder not on its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


@pytest.fixture
def run(tmp_path):
    """Runs cells with these labels; the records by label, and what was told."""

    def run(*labels: str, limit: float | None = None, slots: int = 2, preload=()) -> tuple[dict[str, Record], Listener]:
        listener = Listener()
        store = RecordStore(tmp_path / "results")
        launcher = LocalLauncher(preload, work="tests.bench.odd_workers")
        places = [Slot(index, 1) for index in range(slots)]
        found = Scheduler(suite_of(tmp_path, *labels), store, launcher, places, limit).run(listener)
        assert {record.id for record in found} == {record.id for record in store.records()}
        return {record.cell.label: record for record in found}, listener

    return run


def test_whatever_a_plugin_does_to_its_process_is_its_own_cells_matter(run, tmp_path):
    labels = ["leaves_a_thread", "leaves_a_process", "forks", "closes_all", "changes_folder", "speaks_nonsense", "fine"]
    began = time.monotonic()
    records, _ = run(*labels)
    assert {label: record.status for label, record in records.items()} == dict.fromkeys(labels, "trained")
    assert not (tmp_path / "results" / "impostor").exists()
    assert (tmp_path / "results" / "data").read_text() == "data"  # nothing was printed into it
    child = int((tmp_path / "results" / "child").read_text())
    assert not is_alive(child)
    assert time.monotonic() - began < 500  # the thread would have slept for 1000 seconds


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_a_killed_worker_had_started_ends_with_the_run(run, tmp_path):
    records, _ = run("dies_once_and_leaves_a_process", "fine")
    assert {record.status for record in records.values()} == {"trained"}
    assert not is_alive(int((tmp_path / "results" / "child").read_text()))


def test_what_was_left_by_a_scheduler_that_is_no_more_ends_with_the_next_run_in_its_folder(run, tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    marks = {"left": f"{gone.pid} {tmp_path / 'results'}", "another folder's": f"{gone.pid} {tmp_path / 'other'}",
             "a living scheduler's": f"{os.getppid()} {tmp_path / 'results'}"}  # fmt: skip
    started = {name: subprocess.Popen(["sleep", "1000"], env={"BENCH_RUN": mark}) for name, mark in marks.items()}
    try:
        run("fine")
        assert [name for name, process in started.items() if process.poll() is not None] == ["left"]
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def test_a_folder_that_is_removed_under_way_ends_the_run_in_one_line_and_the_next_has_all(run, tmp_path):
    with pytest.raises(ResultsError, match="results: was removed or moved while the run was under way") as caught:
        run("removes_the_results", "fine")
    assert "\n" not in str(caught.value)
    assert run("fine")[0]["fine"].status == "trained"


def test_predictions_that_are_others_than_the_records_run_their_cell_again(run, tmp_path):
    records, _ = run("fine", "forks")
    store = RecordStore(tmp_path / "results")
    for record in records.values():
        record.kept["predictions.parquet"] = store.keep(record.id, "predictions.parquet", b"what it answered")
        store.write(record)
    path = store.folder(records["fine"].id) / "predictions.parquet"
    path.write_bytes(b"what")
    again, listener = run("fine", "forks")
    assert [record.cell.label for record in listener.ends] == ["fine"]
    assert listener.notes == [f"{path}: is not the file that the record was written with; the cell is run again"]
    assert again["fine"].kept == {}  # as this worker keeps nothing
    assert again["forks"] == records["forks"]


def test_a_worker_that_ends_itself_is_told_by_its_status_and_not_by_an_older_record(run, tmp_path):
    records, _ = run("exits_at_once", "writes_a_ruin", "fine")
    assert records["exits_at_once"].status == records["writes_a_ruin"].status == "failed"
    assert "ended itself with status 0" in records["exits_at_once"].reason
    store = RecordStore(tmp_path / "results")
    old = records["exits_at_once"].model_copy(update={"reason": "an older reason"})
    store.write(old)
    again, _ = run("exits_at_once", "writes_a_ruin", "fine")
    assert "ended itself with status 0" in again["exits_at_once"].reason


def test_a_killed_server_is_replaced_and_its_workers_are_tried_again(run, tmp_path):
    records, _ = run("kills_its_server_once", "fine", "leaves_a_thread")
    assert {record.status for record in records.values()} == {"trained"}
    assert records["kills_its_server_once"].attempts == 2
    assert not psutil.pid_exists(int((tmp_path / "results" / "pid").read_text()))


def test_a_cell_that_kills_its_server_again_is_not_tried_for_ever(run):
    records, _ = run("kills_its_server")
    assert records["kills_its_server"].status == "failed"
    assert records["kills_its_server"].attempts == 2
    assert "was killed" in records["kills_its_server"].reason


@pytest.mark.parametrize("refusals", [2, 4])
def test_a_fork_that_is_refused_is_tried_again_by_the_server_and_then_by_another(
    run, tmp_path, monkeypatch, capfd, refusals
):
    monkeypatch.setenv(no_fork.REFUSALS, str(refusals))
    monkeypatch.setenv(no_fork.COUNT, str(tmp_path / "count"))
    forkserver._forkserver._stop()
    records, _ = run("fine", "forks", preload=["tests.bench.no_fork"])
    assert {record.status for record in records.values()} == {"trained"}
    assert (tmp_path / "count").read_text() == "x" * refusals
    said = capfd.readouterr().err
    ended = "the process from which workers are forked has ended: BlockingIOError" in said
    assert ended is (refusals == 4) and "Traceback" not in said


@pytest.mark.parametrize("refusals", [2, 100])
def test_what_the_system_refuses_for_a_moment_does_not_end_a_run(run, monkeypatch, refusals):
    forkserver._forkserver._stop()
    spawn, left = multiprocessing.util.spawnv_passfds, [refusals]

    def refuse(*arguments):
        left[0] -= 1
        if left[0] >= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return spawn(*arguments)

    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", refuse)
    monkeypatch.setattr(local, "SECONDS_BETWEEN_STARTS", (0.0,) * 4)
    if refusals == 2:
        assert run("fine")[0]["fine"].status == "trained"
        return
    with pytest.raises(
        ResultsError, match=r"no worker can be started: BlockingIOError: .*Resource temporarily"
    ) as caught:
        run("fine")
    assert "\n" not in str(caught.value)


def test_a_cell_that_hangs_is_stopped_at_its_limit_and_says_where_it_was(run):
    records, listener = run("hangs", "fine", limit=3.0)
    assert records["fine"].status == "trained"
    reason = records["hangs"].reason
    assert records["hangs"].status == "failed" and records["hangs"].attempts == 1
    assert reason.startswith("stopped after 3 s") and "step 5 of 20" in reason and "--time-limit" in reason
    assert (5, 20, "training") in listener.seen


def test_a_cost_profile_that_is_lacking_is_told_and_tried_again_by_the_next_run(tmp_path):
    suite = suite_of(tmp_path, "fine", profile=True)
    store = RecordStore(tmp_path / "results")
    for again in (False, True):
        listener = Listener()
        launcher = LocalLauncher(work="tests.bench.odd_workers")
        [found] = Scheduler(suite, store, launcher, [Slot(0, 1)]).run(listener)
        assert (found.status, found.test) == ("trained", {"accuracy": 0.5})
        assert found.reason.startswith("no cost profile: the process ended itself with status 0")
        assert store.read(found.id) == found
        assert len(listener.ends) == (1 if again else 2)
    [said] = _lacking([found, found.model_copy(update={"status": "ok"})], profiles=True)
    assert said.startswith(f"1 without a cost profile, as {found.id}: no cost profile: the process ended itself")
    assert _lacking([found], profiles=False) == []
    assert _lacking([found.model_copy(update={"reason": None})], profiles=True) == []  # it was not its turn yet
    assert _lacking([found.model_copy(update={"status": "failed"})], profiles=True) == ["1 of 1 cells failed"]


def test_an_interrupt_lets_what_runs_end_and_starts_nothing_new(tmp_path):
    class Interrupting(Listener):
        def refresh(self, running, pending) -> None:
            super().refresh(running, pending)
            if running and not scheduler.interrupted:
                scheduler.interrupt()

    listener, store = Interrupting(), RecordStore(tmp_path / "results")
    suite = suite_of(tmp_path, "fine", "fine", "fine", "fine", profile=True)
    launcher = LocalLauncher(work="tests.bench.odd_workers")
    scheduler = Scheduler(suite, store, launcher, [Slot(0, 1), Slot(1, 1)])
    found = scheduler.run(listener)
    assert [record.status for record in found] == ["trained", "trained"]  # which the first two were; none is profiled
    assert len(list(store.records())) == 2
    assert scheduler.left == 4
    assert listener.notes == ["nothing new starts; waiting for 2 running cells to end (Ctrl-C again stops at once)"]
    with pytest.raises(KeyboardInterrupt):
        scheduler.interrupt()


def test_all_methods_and_seeds_of_a_task_run_before_the_next_task(write_suite):
    """So that what a run that was cut short has are whole comparisons."""
    suite = Suite.load(str(write_suite(tasks={"colours": {}, "rotten_tomatoes": {}}, seeds=[0, 1, 2])))
    order = [(cell.task, cell.seed, cell.label) for cell in suite.cells.values()]
    assert order == [(t, s, m) for t in ("colours", "rotten_tomatoes") for s in (0, 1, 2) for m in ("full", "head")]
    planned = planning.crossed(suite.file, dict.fromkeys(suite.file.tasks, suite.file.budget))
    assert [(cell.task, cell.seed, cell.label) for cell in planned] == order


def test_a_log_is_cut_to_its_two_ends(run, tmp_path):
    run("prints_much")
    [log] = (tmp_path / "results").glob("cells/*/log.txt")
    text = log.read_text()
    assert log.stat().st_size < 2.1 * files.LOG_END
    assert text.startswith("first\n") and text.endswith("last\n") and "bytes are left out" in text


def test_a_full_disk_ends_the_run_in_one_line_and_a_folder_of_another_does_not(run, tmp_path):
    records, _ = run("may_not_write", "fine")
    assert records["may_not_write"].reason == "its record could not be written: Permission denied"
    assert records["fine"].status == "trained"
    with pytest.raises(ResultsError, match="No space left on device; finished cells are kept") as caught:
        run("finds_the_disk_full", "fine", slots=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("refusal", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_disk_that_refuses_at_any_write_is_told_in_one_line_and_the_run_goes_on_later(
    run, tmp_path, monkeypatch, refusal, number
):
    """As SQLite is tested: the first write fails, then the second, and so on. Here are those of the scheduler."""
    calls = {"left": number}

    def refuse(name, original):
        def call(*arguments, **keywords):
            calls["left"] -= 1
            if calls["left"] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **keywords)

        return call

    if refusal == "write":
        monkeypatch.setattr(Record, "model_dump_json", refuse("dump", Record.model_dump_json))
    elif refusal == "open":
        monkeypatch.setattr(files, "write_atomically", refuse("open", files.write_atomically))
    else:
        monkeypatch.setattr(os, refusal, refuse(refusal, getattr(os, refusal)))
    with contextlib.suppress(ResultsError):
        run("exits_at_once", "fine")
    monkeypatch.undo()
    records, _ = run("fine")
    assert records["fine"].status == "trained"
    # A worker may have been ended while it wrote: what it left is cleared by now.
    assert not list((tmp_path / "results").glob("**/.*json*"))


def test_what_stands_where_a_record_should_be_is_moved_aside_or_replaced(run, tmp_path):
    labels = ["fine", "forks", "leaves_a_thread", "changes_folder", "speaks_nonsense"]
    ids = list(suite_of(tmp_path, *labels).cells)
    cells = tmp_path / "results" / "cells"
    for name in ids[:4]:
        (cells / name).mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (cells / ids[0] / "record.json").mkdir()
    (cells / ids[1] / "record.json").write_text('{"id": "')
    os.mkfifo(cells / ids[2] / "record.json")
    (outside / "log.txt").write_text("mine")
    (cells / ids[3] / "log.txt").symlink_to(outside / "log.txt")
    (cells / ids[4]).symlink_to(outside)
    left = cells / ids[0] / ".record.json.4242"
    left.write_text("half")
    records, _ = run(*labels)
    assert {record.status for record in records.values()} == {"trained"}
    assert (cells / ids[0] / "record.json.broken-1").is_dir()
    assert not left.exists()
    assert sorted(path.name for path in outside.iterdir()) == ["log.txt"]
    assert (outside / "log.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ["truncated", "newer", "folder"])
def test_a_manifest_that_cannot_be_read_is_not_overwritten(run, tmp_path, damage):
    run("fine")
    path = tmp_path / "results" / "manifest.json"
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "truncated":
        path.write_text(path.read_text()[:100])
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    before = None if damage == "folder" else path.read_text()
    with pytest.raises(ResultsError, match="newer version" if damage == "newer" else "move that file away") as caught:
        run("fine")
    assert "\n" not in str(caught.value)
    assert before is None or path.read_text() == before


def test_a_record_of_a_newer_version_is_not_run_over(run, tmp_path):
    run("fine")
    [path] = (tmp_path / "results").glob("cells/*/record.json")
    newer = json.dumps(json.loads(path.read_text()) | {"schema_version": 99, "more": True})
    path.write_text(newer)
    with pytest.raises(ResultsError, match="written by a newer version"):
        run("fine")
    assert path.read_text() == newer


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches, which waits for the lock")
def test_a_worker_that_holds_the_interpreters_lock_dies_with_the_scheduler(tmp_path):
    script = """
        from pathlib import Path
        from tests.bench.test_scheduler import Listener, suite_of
        from bench.launchers.local import LocalLauncher, Slot
        from records.store import RecordStore
        from bench.scheduler import Scheduler

        if __name__ == "__main__":
            suite = suite_of(Path(), "holds_the_lock")
            launcher = LocalLauncher(work="tests.bench.odd_workers")
            Scheduler(suite, RecordStore("results"), launcher, [Slot(0, 1)]).run(Listener())
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    scheduler = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        pid = tmp_path / "results" / "pid"
        wait_until(lambda: pid.exists() and pid.read_text())
        worker = psutil.Process(int(pid.read_text()))
        server = worker.parent()
    finally:
        scheduler.send_signal(signal.SIGKILL)
        scheduler.wait()
    _, alive = psutil.wait_procs([worker, server], timeout=10)
    assert alive == []
