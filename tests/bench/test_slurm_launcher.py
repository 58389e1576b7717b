"""What a launcher makes of what a cluster says, or does not say; the cluster is one of shell scripts."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import psutil
import pytest

from bench.cluster_options import SlurmOptions
from bench.job import Job
from bench.launchers import forking, local, node, slurm
from bench.launchers.base import End, LaunchError, Slot
from bench.launchers.journal import Journal, Line
from bench.launchers.node import Assignment, Word
from bench.launchers.slurm import ATTEMPTS_WHEN_LOST, ATTEMPTS_WHEN_TAKEN, SlurmLauncher
from records import files
from records.cards import Cards
from records.record import Manifest
from records.store import RecordStore
from tests.bench.fake_slurm import FakeSlurm
from tests.bench.test_records import cell, record
from tests.faults.points import Fault, arm

pytest.importorskip("submitit")


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> FakeSlurm:
    found = FakeSlurm(tmp_path / "fake", tmp_path / "results")
    monkeypatch.setenv("PATH", f"{found.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_LOOKS", (0.0, 0.0))
    monkeypatch.setattr(slurm, "SECONDS_TO_BE_SEEN", 0.0)
    return found


@pytest.fixture
def launch(cluster):
    """A launcher that has been asked to start so many cells; the lines that it told are in `told`."""

    def launch(cells: int = 1, stage="train", begin: bool = True, **options) -> SlurmLauncher:
        launcher = SlurmLauncher(SlurmOptions(**options), limit=3600.0, tell=launch.told.append)
        launcher._throttled = False
        launcher.begin(cluster.results)
        for seed in range(cells):
            launcher.start(job_of(cluster.results, seed, stage), Slot(seed, 1))
        return launcher

    launch.told = []
    return launch


def job_of(results: Path, seed: int = 0, stage="train") -> Job:
    RecordStore(results).make_room(cell(seed=seed).id)
    return Job(cell(seed=seed), stage, results, results, (), 1)


def look(launcher: SlurmLauncher, times: int = 2) -> list[End]:
    """What has ended, after a second look, without which an end is not believed."""
    return [end for _ in range(times) for _, end in launcher.wait(0.0)]


def test_cells_are_submitted_as_arrays_as_long_as_the_cluster_takes_them(cluster, launch):
    launcher = launch(5, partition="gpu", gpus=1, memory="16 GB", concurrency=2, extra={"constraint": "a100"})
    assert look(launcher) == []
    first, second = cluster.scripts()
    assert "#SBATCH --array=0-2%2" in first and "#SBATCH --array=0-1%2" in second  # MaxArraySize is 4
    asked = {"--partition=gpu", "--gpus-per-node=1", "--mem=16G", "--time=75", "--requeue", "--constraint=a100"}
    assert {f"#SBATCH {option}" for option in asked} <= set(first.splitlines())
    assert "--exclusive" not in first
    assert [len(each.cells) for each in cluster.submissions()] == [3, 2]
    assert [each.job for each in cluster.submissions()] == ["10", "11"]
    assert all(running.doing == "pending (Priority)" for running in launcher.running.values())


def test_a_cost_profile_has_its_node_alone(cluster, launch):
    look(launch(1, "profile"))
    assert "#SBATCH --exclusive" in cluster.scripts()[0]


@pytest.mark.parametrize(
    ("state", "attempts"),
    [
        ("PREEMPTED", ATTEMPTS_WHEN_TAKEN), ("NODE_FAIL", ATTEMPTS_WHEN_TAKEN), ("TIMEOUT", 1), ("OUT_OF_MEMORY", 1),
        ("CANCELLED", 1), ("FAILED", ATTEMPTS_WHEN_LOST), ("COMPLETED", 1),
    ],
)  # fmt: skip
def test_ends_without_a_record_are_told_apart(cluster, launch, state, attempts):
    launcher = launch()
    look(launcher)
    cluster.turn(state)
    [end] = look(launcher)
    assert state in end.reason and "job 10" in end.reason and end.attempts == attempts
    assert not launcher.running


def test_a_job_that_is_queued_again_has_not_ended(cluster, launch, monkeypatch):
    monkeypatch.setattr(slurm, "SECONDS_TO_BE_SEEN", 60.0)
    launcher = launch()
    look(launcher)
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_LOOKS", (60.0, 60.0))
    cluster.turn("PREEMPTED")
    launcher._next_look = 0.0
    assert look(launcher, 1) == []
    cluster.turn("PENDING", why="BeginTime")
    launcher._next_look = 0.0
    assert look(launcher, 1) == []
    [running] = launcher.running.values()
    assert running.queued and running.doing == "pending (BeginTime)" and running.gone is None


def test_what_a_job_says_is_heard_before_the_cluster_shows_its_end(cluster, launch):
    launcher = launch()
    look(launcher)
    cluster.turn("RUNNING")
    [submission] = cluster.submissions()
    cluster.say(submission, 0, Word(node="n1", done=3, total=20, doing="training", seconds=5.0))
    assert look(launcher) == []
    [running] = launcher.running.values()
    assert (running.done, running.total, running.doing, running.queued) == (3, 20, "training", False)
    store = RecordStore(cluster.results)
    store.write(record(cell(), status="trained", test={"accuracy": 1.0}))
    cluster.say(submission, 0, Word(node="n1", end=End("ended"), wrote=store.stamp(cell().id)))
    assert look(launcher, 1) == [End("ended")]


def test_a_record_that_is_not_seen_here_yet_is_waited_for(cluster, launch, monkeypatch):
    monkeypatch.setattr(slurm, "SECONDS_TO_BE_SEEN", 60.0)
    launcher = launch()
    look(launcher)
    cluster.turn("COMPLETED")
    [submission] = cluster.submissions()
    cluster.say(submission, 0, Word(end=End("ended"), wrote=(1, 2)))
    assert look(launcher) == []
    monkeypatch.setattr(slurm, "SECONDS_TO_BE_SEEN", 0.0)
    assert look(launcher) == [End("ended")]


def test_why_a_worker_was_killed_is_asked_of_the_cluster(cluster, launch):
    launcher = launch()
    look(launcher)
    cluster.turn("RUNNING")
    killed = End("the worker was killed by SIGKILL", 2)
    cluster.say(cluster.submissions()[0], 0, Word(end=killed))
    assert look(launcher) == []  # it may be about to be queued again
    cluster.turn("OUT_OF_MEMORY")
    [end] = look(launcher)
    assert "OUT_OF_MEMORY" in end.reason and end.attempts == 1


@pytest.mark.parametrize(("account", "said"), [("10|{name}|TIMEOUT", "TIMEOUT"), (None, "without a record or a trace")])
def test_a_short_job_that_was_never_seen_is_looked_up_in_the_account(cluster, launch, account, said):
    launcher = launch()
    launcher._submit()
    [submission] = cluster.submissions()
    cluster.forget()
    if account:
        cluster.flag("account", account.format(name=submission.key))
    [end] = look(launcher)
    assert said in end.reason and end.attempts == (1 if account else ATTEMPTS_WHEN_LOST)


def test_a_waiting_job_that_the_queue_forgets_was_cancelled(cluster, launch):
    launcher = launch(2)
    look(launcher)
    cluster.turn("RUNNING", "10_1")
    cluster.say(cluster.submissions()[0], 1, Word(node="n1"))
    look(launcher)
    cluster.forget()
    waiting, running = look(launcher)
    assert "10_0 was cancelled (CANCELLED)" in waiting.reason and waiting.attempts == 1
    assert "10_1 was last seen RUNNING" in running.reason and running.attempts == ATTEMPTS_WHEN_LOST


def test_silence_of_the_controller_says_nothing_of_the_jobs_and_is_told_once(cluster, launch):
    launcher = launch()
    look(launcher)
    cluster.turn("COMPLETED")
    down = cluster.flag("down")
    assert look(launcher, 3) == []
    assert len(launch.told) == 1 and "Unable to contact slurm controller" in launch.told[0]
    down.unlink()
    assert len(look(launcher)) == 1
    cluster.flag("down")
    with pytest.raises(LaunchError, match="Unable to contact"):
        launch()


def test_what_the_cluster_refuses_is_one_line_unless_jobs_are_there_whose_end_may_change_that(cluster, launch):
    refused = cluster.flag("refused", "sbatch: error: Batch job submission failed: Invalid account\n")
    with pytest.raises(LaunchError, match=r"the cluster takes no jobs: .*Invalid account"):
        look(launch())
    assert [each.given_up for each in cluster.submissions()] == [True]
    refused.unlink()
    launcher = launch()
    look(launcher)
    refused = cluster.flag("refused", "sbatch: error: QOSMaxSubmitJobPerUserLimit\n")
    launcher.start(job_of(cluster.results, 1), Slot(1, 1))
    look(launcher)
    assert "QOSMaxSubmitJobPerUserLimit" in launch.told[-1] and len(launcher.running) == 2
    refused.unlink()
    launcher._retry = 0.0
    look(launcher)
    assert len(cluster.jobs()) == 2


def test_a_submission_whose_answer_was_lost_is_found_by_its_name(cluster, launch):
    cluster.flag("mute")
    launcher = launch(2)
    assert look(launcher) == [] and len(cluster.jobs()) == 2
    [submission] = cluster.submissions()
    assert submission.job == "10"
    # Its jobs wait for their orders, which submitit puts there once it has the answer.
    orders = [path.name for path in (cluster.results / "slurm" / submission.key).glob("*_submitted.pkl")]
    assert sorted(orders) == ["10_0_submitted.pkl", "10_1_submitted.pkl"]
    assert launch.told == []


def test_what_became_of_a_submission_is_asked_again_when_the_controller_answers(cluster, launch):
    launcher = launch()
    look(launcher)
    flags = cluster.flag("mute"), cluster.flag("down")
    launcher.start(job_of(cluster.results, 1), Slot(1, 1))
    look(launcher)
    assert "the next run sees whether" in launch.told[0] and len(launcher.running) == 2
    for flag in flags:
        flag.unlink()
    launcher._retry = 0.0
    look(launcher)
    assert [each.job for each in cluster.submissions()] == ["10", "11"] and len(cluster.jobs()) == 2


@pytest.mark.parametrize("accepted", [True, False])
def test_a_scheduler_that_died_between_intent_and_answer_neither_doubles_nor_drops_a_cell(cluster, launch, accepted):
    died = launch(2)
    handed = [{"cell": running.job.cell.id} for running in died.running.values()]
    died.journal.append(Line(what="intent", key="bench-lost", when="now", stage="train", cells=handed))
    if accepted:
        cluster.flag("jobs", "7_0|bench-lost|PENDING|Priority\n7_1|bench-lost|RUNNING|None\n")
    launcher = launch(2)
    look(launcher)
    names = [name for _, name, *_ in cluster.jobs()]
    pickles = sorted(path.name for path in cluster.results.glob("slurm/*/*_submitted.pkl"))
    if accepted:
        assert names == ["bench-lost"] * 2 and pickles == ["7_0_submitted.pkl", "7_1_submitted.pkl"]
        assert cluster.submissions()[0].job == "7"
    else:
        assert len(names) == 2 and "bench-lost" not in names and len(set(names)) == 1
        assert cluster.submissions()[0].given_up


@pytest.mark.exhaustive
def test_killed_at_any_call_while_it_submits_a_scheduler_neither_doubles_nor_drops_a_cell(
    cluster, launch, tmp_path, monkeypatch
):
    """At the first call that touches the disk, at the second, and so on until it submits in fewer."""
    given_up = set()
    for number in range(1, 200):
        done = tmp_path / f"killed-{number}"
        for name, value in Fault("scheduler", "any", number, "exit_at_once").environ(done).items():
            monkeypatch.setenv(name, value)
        if not (process := os.fork()):
            try:
                arm("scheduler", cluster.results)
                look(launch(2))
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        look(launch(2))
        given = {each.key: each for each in cluster.submissions() if not each.given_up}
        live = [(given[name], int(job.partition("_")[2])) for job, name, *_ in cluster.jobs() if name in given]
        cells = sorted(submission.cells[index].cell for submission, index in live)
        assert cells == sorted(cell(seed=seed).id for seed in range(2)), number
        orders = [cluster.results / "slurm" / each.key / f"{each.job}_{index}_submitted.pkl" for each, index in live]
        assert all(path.exists() for path in orders), number
        given_up.add(len(given) < len(cluster.submissions()))
        cluster.forget()
        shutil.rmtree(cluster.results)
        if not done.exists():
            break
    assert number > 15 and given_up == {True, False}


def test_a_job_that_is_being_ended_is_waited_for_before_it_is_counted_as_lost(cluster, launch, monkeypatch):
    look(launch())
    cluster.turn("COMPLETING")
    monkeypatch.setattr(slurm, "SECONDS_TO_BE_SEEN", 60.0)
    monkeypatch.setattr(slurm.time, "sleep", lambda _: cluster.turn("PENDING"))
    look(launch())
    assert len(cluster.jobs()) == 1  # it was queued again, and no second one was submitted


def test_only_jobs_that_have_not_ended_are_taken_over(cluster, launch):
    first = launch(3)
    look(first)
    first.stop()
    assert "3 jobs stay on the cluster" in launch.told[-1]
    cluster.turn("COMPLETED", "10_0")
    cluster.turn("RUNNING", "10_1")
    cluster.turn("RUNNING", "10_2")
    cluster.say(cluster.submissions()[0], 2, Word(end=End("ended"), wrote=None))  # and is about to be gone
    look(launch(3))
    assert [len(each.cells) for each in cluster.submissions()] == [3, 2]
    assert "1 jobs of an earlier run" in launch.told[-1]


def test_a_line_that_was_cut_off_is_no_line_and_spoils_no_other(tmp_path):
    journal = Journal(tmp_path)
    intent = Line(what="intent", key="a", when="now", stage="train", cells=[{"cell": cell().id, "attempt": 3}])
    journal.append(intent)
    with journal.path.open("a") as file:
        file.write('{"what": "accep')
    journal.append(Line(what="accepted", key="a", when="now", job="7"))
    [found] = journal.submissions().values()
    assert (found.job, found.given_up, found.cells[0].attempt) == ("7", False, 3)
    journal.append(Line(what="given up", key="a", when="now"))
    assert journal.submissions()["a"].given_up
    journal.path.unlink()
    journal.path.symlink_to("/etc/hostname")
    with pytest.raises(LaunchError, match="is a link"):
        journal.submissions()
    with pytest.raises(OSError, match="Too many levels"):
        journal.append(intent)


def test_a_results_folder_that_slurm_would_take_for_a_pattern_is_refused(tmp_path, cluster):
    with pytest.raises(LaunchError, match="has a % in it"):
        SlurmLauncher(SlurmOptions(), 60.0).begin(tmp_path / "50%")


@pytest.fixture
def assigned(tmp_path, monkeypatch):
    """Runs a stage of a cell as its job would; the last word."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def assigned(label: str, limit: float | None = None) -> Word | None:
        task = cell(label=label, method=label)
        job = Job(task, "train", tmp_path, tmp_path, (), 1)
        store = RecordStore(tmp_path)
        store.make_room(task.id)
        manifest = Manifest(suite={}, cells={task.id: task}, cards=Cards(), environment={}, created="now")
        store.write_manifest(manifest)
        Journal(tmp_path).append(Line(what="intent", key="k", when="now", stage="train", cells=[{"cell": task.id}]))
        order = Assignment(key="k", index=0, job=job, limit=limit, work="tests.bench.odd_workers")
        node.work(order.model_dump_json())
        return node.word_of(tmp_path, "k", 0)

    return assigned


@pytest.mark.usefixtures("server_of_its_own")
def test_a_job_leaves_a_record_and_word_of_it_and_does_no_work_twice(assigned, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    word = assigned("fine")
    [found] = [RecordStore(tmp_path).read(path.name) for path in (tmp_path / "cells").iterdir()]
    assert found.status == "trained" and found.attempts == word.attempt == 3
    assert word.wrote == RecordStore(tmp_path).stamp(found.id)
    again = assigned("fine")
    assert again.end.reason == "its record stood before it began" and again.wrote == word.wrote


@pytest.mark.usefixtures("server_of_its_own")
def test_a_job_ends_a_worker_that_hangs_and_says_where_it_was(assigned):
    word = assigned("hangs", limit=3.0)
    assert word.overdue and word.wrote is None and (word.done, word.total) == (5, 20)


def test_a_node_that_starts_no_worker_says_so_and_it_is_tried_once_more(assigned, monkeypatch, capsys):
    def refused(*_: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(forking, "start", refused)
    monkeypatch.setattr(local, "SECONDS_BETWEEN_STARTS", ())
    word = assigned("fine")
    assert word.end.reason.startswith("no worker can be started: ") and word.end.attempts == 2 and word.wrote is None
    assert capsys.readouterr().out.count("\n") == 1


def test_a_job_whose_submission_was_given_up_does_nothing(assigned, tmp_path):
    Journal(tmp_path).append(Line(what="intent", key="k", when="now", stage="train", cells=[]))
    Journal(tmp_path).append(Line(what="given up", key="k", when="now"))
    order = Assignment(key="k", index=0, job=job_of(tmp_path), work="no.such.module")
    node.work(order.model_dump_json())
    assert node.word_of(tmp_path, "k", 0) is None


@pytest.mark.usefixtures("server_of_its_own")
@pytest.mark.parametrize(
    ("label", "wrote", "said"),
    [
        ("exits_at_once", False, "ended itself with status 0"),
        ("raises_exit", False, "ended itself with status 73"),
        ("forks", True, ""),
        ("prints_much", True, ""),
        ("leaves_a_process", True, ""),
        ("closes_all", True, ""),
    ],
)
def test_what_a_plugin_does_to_its_process_harms_its_own_job_alone(assigned, tmp_path, label, wrote, said):
    word = assigned(label)
    assert (word.wrote is not None) is wrote and said in word.end.reason
    assert not (tmp_path / "impostor").exists()
    [log] = tmp_path.glob("cells/*/log.txt")
    assert log.stat().st_size < 2.1 * files.LOG_END
    if label == "leaves_a_process":
        child = int((tmp_path / "child").read_text())
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
