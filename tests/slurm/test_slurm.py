"""Cells on a real Slurm cluster, while all that a cluster does to jobs is done to them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from bench import cli
from bench.launchers.journal import Journal, Submission
from bench.lifeline import die_with
from tests.conftest import ROOT, bench_command, bench_environ, read_records, scores
from tests.conftest import wait_until as wait_for_seconds
from tests.slurm.cluster import Cluster, missing

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())} (apt install slurm-wlm munge)"),
]

# In front of the real one on the path: the process that submits is killed before its jobs are accepted, or once they
# are and it has not heard of it.
KILLED_BEFORE = "#!/bin/sh\nkill -9 $PPID\n"
KILLED_AFTER = '#!/bin/sh\n{sbatch} "$@" >&2\nkill -9 $PPID\n'

# Each job imports torch; where others are at work on the machine, that takes its time.
wait_until = partial(wait_for_seconds, seconds=300)


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, Cluster(Path(folder)) as found:
        yield found


class Runs:
    """`bench run` in processes of their own, forked from this one, which has the imports behind it."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self.environ = cluster.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(folder / "cache")}

    def start(self, *arguments: object, sbatch: str = "", command: str = "run") -> int:
        """The process's id; `sbatch` is a program in place of that."""
        environ = dict(self.environ)
        if sbatch:
            place = self.folder / "in-front"
            place.mkdir(exist_ok=True)
            (place / "sbatch").write_text(sbatch)
            (place / "sbatch").chmod(0o755)
            environ["PATH"] = f"{place}{os.pathsep}{environ['PATH']}"
        if process := os.fork():
            return process
        # A server of workers that `bench` has begun in this process is not its child's.
        for name in ("_forkserver_address", "_forkserver_alive_fd", "_forkserver_pid"):
            setattr(forkserver._forkserver, name, None)
        status = 1
        try:
            die_with(os.getppid())
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background ignores
            os.environ.update(environ)
            os.chdir(self.folder)
            out = os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            sys.argv = ["bench", command, *map(str, arguments)]
            cli.main()
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code)
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            os._exit(status)

    def out(self) -> str:
        return (self.folder / "out.txt").read_text()


def end_of(process: int) -> int:
    """Its status; that of one which was killed is the negative number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def journal(results: Path) -> Counter[str]:
    return Counter(json.loads(line)["what"] for line in (results / "slurm" / "journal.jsonl").read_text().splitlines())


def submissions(results: Path) -> list[Submission]:
    return list(Journal(results).submissions().values())


def trainings(results: Path) -> Counter[str]:
    """How often a job has written the record of a cell."""
    found: Counter[str] = Counter()
    for submission in submissions(results):
        for log in (results / "slurm" / submission.key).glob("*_log.out"):
            index = int(log.name.split("_")[1]) if len(submission.cells) > 1 else 0
            found[submission.cells[index].cell] += log.read_text().count("a record was written")
    return found


def processes_with(words: str) -> Iterator[psutil.Process]:
    """Those whose command line has these words in it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if words in " ".join(process.cmdline()):
                yield process


def worker_of(job: str) -> psutil.Process | None:
    """The process in which a job's cell runs: it is forked from the server that the job has started."""
    for server in processes_with("multiprocessing.forkserver"):
        with contextlib.suppress(psutil.Error):
            if server.environ().get("SLURM_ARRAY_TASK_ID") == job.partition("_")[2]:
                return next(iter(server.children()), None)
    return None


def test_whatever_befalls_its_jobs_a_suite_ends_as_it_does_on_one_machine(cluster, bench, write_suite, tmp_path):
    suite = write_suite(methods={"full": {"lr": 1e-3}, "head": {"lr": 1e-2}, "bitfit": {"lr": 1e-2}}, profile=False)
    results = tmp_path / "cluster"
    runs = Runs(tmp_path, cluster)
    asked = (suite, "--launcher", "slurm", "--results", results, "--partition", "work", "--time", "20 min")

    # An intent of which the cluster never heard, then one whose acceptance was never heard of.
    assert end_of(runs.start(*asked, sbatch=KILLED_BEFORE)) == -signal.SIGKILL
    assert journal(results) == {"intent": 1} and not cluster.states()
    assert end_of(runs.start(*asked, sbatch=KILLED_AFTER.format(sbatch="/usr/bin/sbatch"))) == -signal.SIGKILL
    assert journal(results) == {"intent": 2, "given up": 1} and len(cluster.states()) == 3

    scheduler = runs.start(*asked)
    words = {index: wait_until(lambda index=index: list(results.glob(f"slurm/*/{index}.json"))) for index in range(3)}
    assert journal(results) == {"intent": 2, "given up": 1, "accepted": 1}
    cancelled, killed, requeued = sorted(cluster.states())
    cluster.run("scancel", cancelled)
    cluster.run("scontrol", "requeue", requeued)
    wait_until(lambda: worker_of(killed)).kill()
    wait_until(lambda: cluster.states() and json.loads(words[2][0].read_text())["attempt"] == 2)

    # Another's job takes the node; meanwhile the scheduler dies, and another takes up what it left.
    cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1")
    wait_until(lambda: cluster.states()[requeued] == "PENDING")
    wait_until(lambda: "CANCELLED" in json.dumps(read_records(results)))
    # Of a worker that was killed it knows, too: what dies with it unseen is a first attempt again.
    wait_until(lambda: any(each.attempt == 2 for found in submissions(results) for each in found.cells))
    os.kill(scheduler, signal.SIGKILL)
    end_of(scheduler)
    again = runs.start(*asked)
    wait_until(lambda: set(cluster.states().values()) <= {"COMPLETED", "CANCELLED"} and len(read_records(results)) == 3)
    assert end_of(again) == 0, runs.out()

    local = bench("run", suite, "--results", tmp_path / "local", "--slots", 2)
    assert local.returncode == 0
    assert scores(results) == scores(tmp_path / "local")
    assert trainings(results) == dict.fromkeys(read_records(results), 1)
    attempts = [read_records(results)[each.cell]["attempts"] for each in submissions(results)[1].cells]
    assert attempts[0] == 1 and attempts[1] >= 2 and attempts[2] == 3
    assert not list(processes_with("submitit"))


def test_a_machine_without_torch_submits_and_a_job_that_was_cancelled_for_another_is_submitted_again(
    cluster, write_suite, tmp_path
):
    suite = write_suite(methods={"head": {"lr": 1e-2}}, profile="brief")
    python = tmp_path / "python-with-torch"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environ = cluster.environ | {"PYTHONPATH": f"{ROOT / 'tests' / 'bench' / 'no_torch'}{os.pathsep}{ROOT}"}
    asked = bench_command("run", suite, "--launcher", "slurm", "--partition", "cheap", "--python", python)
    with (tmp_path / "out.txt").open("w") as out:
        run = subprocess.Popen(asked, cwd=tmp_path, env=bench_environ(tmp_path, **environ), stdout=out, stderr=out)
    try:
        results = tmp_path / "results" / "tiny"
        wait_until(lambda: run.poll() or list(results.glob("slurm/bench-tiny-train-*/0.json")))
        cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1")
        assert run.wait(timeout=300) == 0, (tmp_path / "out.txt").read_text()
    finally:
        run.kill()
    assert "there is no torch here" in (tmp_path / "out.txt").read_text()
    [record] = read_records(results).values()
    assert record["status"] == "ok" and record["cost"]["train_flops"] > 0
    # A profile is counted apart: it is another job, which had its node alone.
    assert [(each.stage, each.cells[0].attempt) for each in submissions(results)] == [
        ("train", 1),
        ("train", 2),
        ("profile", 1),
    ]
    shown = cluster.run("scontrol", "show", "job", submissions(results)[2].job)
    assert "OverSubscribe=NO" in shown and f"NumCPUs={cluster.cpus}" in shown
    assert "PREEMPTED" in cluster.states().values()


def test_jobs_outlive_an_interrupted_run_and_are_cancelled_when_they_are_to_be(cluster, bench, write_suite, tmp_path):
    other = cluster.run("sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null",
                        "--wrap", "sleep 100")  # fmt: skip
    wait_until(lambda: cluster.states()[other] == "RUNNING")
    runs = Runs(tmp_path, cluster)
    run = runs.start(write_suite(), "--launcher", "slurm", "--account", "lab")
    before = set(cluster.states())
    jobs = wait_until(lambda: set(cluster.states()) - before)
    wait_until(lambda: journal(tmp_path / "results" / "tiny")["accepted"])
    os.kill(run, signal.SIGINT)
    assert end_of(run) == 1
    assert "2 jobs stay on the cluster" in runs.out() and "bench cancel" in runs.out()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, cluster.environ[name])
        assert "on the cluster: 2 pending" in bench("status", "tiny").stdout
        assert "2 jobs cancelled" in bench("cancel", "tiny").stdout
        states = cluster.states()  # which may have forgotten what never ran
        assert {states.get(job, "CANCELLED") for job in jobs} == {"CANCELLED"}
        assert "on the cluster" not in bench("status", "tiny").stdout
    cluster.run("scancel", other)


@pytest.mark.slow
def test_a_search_on_a_cluster_finds_what_it_finds_on_one_machine(cluster, bench, write_suite, tmp_path):
    """Each trial that goes on takes up, in a job of its own, what another job has left."""
    search = {"trials": 4, "rungs": [0.25, 1.0], "kept": [0.5]}
    suite = write_suite(methods={"lora": {"lr": 1e-3, "rank": 2}, "head": {"lr": 1e-2}}, profile=False, tuning=search)
    found = {}
    for place, options in {"cluster": ["--launcher", "slurm", "--partition", "work"], "local": ["--slots", 2]}.items():
        asked = (suite, "--results", tmp_path / place, *options)
        assert end_of(Runs(tmp_path, cluster).start(*asked, command="tune")) == 0
        records = read_records(tmp_path / place / "tuning")
        found[place] = {
            key: [record[name] for name in ("status", "validation", "history", "best_step", "resumed_from", "test")]
            for key, record in records.items()
        }
    assert len(found["local"]) == 2 * (4 + 2)
    assert sum(record[4] is not None for record in found["cluster"].values()) == 2 * 2
    assert found["cluster"] == found["local"]
