"""One process at a time works in a folder, also where the file system has no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time

import pytest

from bench import locking
from bench.locking import HOLDER, Holder, only_one
from records.store import RecordStore, ResultsError


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def no_flock(request, monkeypatch):
    def refused(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refused)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def in_a_process(work) -> int:
    """Does the work in a process of its own; its exit status."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    status = 9
    try:
        status = work() or 0
    finally:
        os._exit(status)


def dies_with_it(results) -> None:
    """Leaves what a process leaves that is killed while it holds the folder."""

    def work() -> None:
        with only_one(results):
            os._exit(0)

    assert in_a_process(work) == 0


def named(results) -> dict:
    return json.loads((results / HOLDER).read_text())


@pytest.mark.usefixtures("no_flock")
def test_without_flock_a_file_names_the_holder_and_keeps_others_out(results):
    with only_one(results):
        assert named(results)["pid"] == os.getpid()
        with (
            pytest.raises(ResultsError, match=rf"process {os.getpid()} on .* last heard of 0 s ago.*remove .*{HOLDER}"),
            only_one(results),
        ):
            pass
        assert named(results)["pid"] == os.getpid()
    assert [path.name for path in results.iterdir()] == [".lock"]


@pytest.mark.usefixtures("no_flock")
def test_a_folder_is_taken_over_from_a_process_of_this_machine_that_is_dead(results):
    dies_with_it(results)
    assert named(results)["pid"] != os.getpid()
    with only_one(results):
        assert named(results)["pid"] == os.getpid()
    assert [path.name for path in results.iterdir()] == [".lock"]


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("what", ["machine", "nothing", "link"])
def test_a_holder_that_may_be_alive_is_never_taken_over_however_old_its_file(results, what, tmp_path):
    dies_with_it(results)
    path = results / HOLDER
    if what == "machine":
        path.write_text(json.dumps(named(results) | {"machine": "node7 another-start"}))
    else:
        path.unlink()
        path.write_text("") if what == "nothing" else path.symlink_to(tmp_path / "elsewhere")
    if what != "link":
        os.utime(path, (time.time() - 86_400,) * 2)
    said = {"machine": "on node7, last heard of 24.0 h ago", "nothing": "of whom is not known, last heard"}
    with pytest.raises(ResultsError, match=said.get(what, "of whom is not known")) as caught, only_one(results):
        pass
    assert "\n" not in str(caught.value) and os.path.lexists(path)


def test_a_machine_with_flock_keeps_out_where_one_without_is_at_work(results, monkeypatch):
    results.mkdir()
    other = Holder(machine="node7 another-start", pid=1, token="0" * 32)
    (results / HOLDER).write_text(other.model_dump_json())
    with pytest.raises(ResultsError, match="process 1 on node7"), only_one(results):
        pass
    (results / HOLDER).write_text(
        other.model_copy(update={"machine": locking._machine(), "pid": 2**22 + 1}).model_dump_json()
    )
    with only_one(results):
        assert not (results / HOLDER).exists()


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("stale", [True, False])
def test_of_many_that_start_at_once_one_gets_the_folder(results, tmp_path, monkeypatch, links, stale):
    if not links:

        def refused(*_):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)
    if stale:
        dies_with_it(results)
    go, count = tmp_path / "go", 8

    def work() -> int:
        while not go.exists():
            time.sleep(0.001)
        try:
            with only_one(results):
                (tmp_path / f"in-{os.getpid()}").touch()
                while len(list(tmp_path.glob("out-*"))) < count - 1:
                    time.sleep(0.001)
        except ResultsError:
            (tmp_path / f"out-{os.getpid()}").touch()
        return 0

    processes = []
    for _ in range(count):
        if process := os.fork():
            processes.append(process)
            continue
        status = 9
        try:
            status = work()
        finally:
            os._exit(status)
    go.touch()
    assert [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in processes] == [0] * count
    assert len(list(tmp_path.glob("in-*"))) == 1
    assert [path.name for path in results.iterdir()] == [".lock"]


@pytest.mark.usefixtures("no_flock")
def test_killed_at_any_call_while_it_takes_over_it_is_taken_over_from(results, monkeypatch):
    for number in range(1, 30):
        dies_with_it(results)

        def work(number=number) -> int:
            left = [number]
            for name in ("open", "link", "unlink", "replace"):
                original = getattr(os, name)

                def call(*arguments, original=original, **keywords):
                    left[0] -= 1
                    if not left[0]:
                        os._exit(5)
                    return original(*arguments, **keywords)

                monkeypatch.setattr(os, name, call)
            with only_one(results):
                pass
            return 0

        status = in_a_process(work)
        assert status in (0, 5)
        with only_one(results):
            RecordStore(results).prepare()
            assert named(results)["pid"] == os.getpid()
        assert [path.name for path in results.iterdir()] == [".lock"]
        if status == 0:
            break
    else:
        pytest.fail("it makes more calls than were tried")
    assert number > 5


@pytest.mark.parametrize("how", ["removed", "moved", "made anew"])
def test_a_folder_that_is_gone_is_noticed(results, how):
    with only_one(results) as look:
        look()
        if how == "moved":
            results.rename(results.with_name("moved"))
        else:
            shutil.rmtree(results)
        if how == "made anew":
            results.mkdir()
            (results / ".lock").touch()
        with pytest.raises(ResultsError, match="was removed or moved while the run was under way"):
            look()
