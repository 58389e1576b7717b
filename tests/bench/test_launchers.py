"""Jobs as processes: none outlives the run that started it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from bench import cli
from bench.job import Job
from bench.launchers import forking, local
from bench.lifeline import Lifeline
from tests.conftest import ROOT
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


# A module that nothing else imports, and of the name of one that the server would find by itself.
ASKED = "tabnanny"


def run(job: Job, line: Lifeline, threads: int) -> None:
    """Does no work, and says where it is. Its backbone's tokenizer was read before."""
    import gc

    from transformers import AutoTokenizer

    from bench.backbones import Backbone

    AutoTokenizer.from_pretrained = None
    Backbone.find(job.cell.backbone).tokenizer()
    (job.results / job.cell.id).write_text(
        f"{os.getppid()} {getattr(sys.modules.get(ASKED), '__file__', None)} {gc.isenabled()}"
    )


@pytest.mark.usefixtures("server_of_its_own")
def test_workers_are_forked_from_the_server_that_was_begun_early_and_find_there_what_was_asked_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [tmp_path, *sys.path])  # no text, which Python passes over
    forking.begin(tmp_path, __name__)
    plugin = tmp_path / "plugins" / f"{ASKED}.py"
    plugin.parent.mkdir()
    plugin.touch()
    monkeypatch.syspath_prepend(plugin.parent)
    early = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    launcher = local.LocalLauncher(preload=["bench.worker", ASKED, "no.such.module"], work=__name__)
    said = []
    for seed in (0, 1):
        cell = synthetic.cell("lora", "rotten_tomatoes", seed)
        launcher.start(Job(cell, "train", tmp_path, tmp_path, (), 1), local.Slot(0, 1))
        while launcher.running:
            list(launcher.wait(timeout=1))
        said.append((tmp_path / cell.id).read_text())
    assert said == [f"{early} {plugin} True"] * 2


def test_workers_are_of_the_tree_whose_scheduler_started_them(tmp_path: Path):
    """Of several on one machine another may be the one that is installed."""
    for each in ("bench", "records", "methods", "tasks", "tests"):
        (tmp_path / each).symlink_to(ROOT / each)
    (tmp_path / "who.py").write_text(
        "import os, bench.launchers.server as server\n"
        "def run(job, line, threads):\n"
        "    said = server.__file__, os.environ.get('PYTHONPATH')\n"
        "    (job.results / 'who').write_text(repr(said))\n"
    )
    script = f"""
        import sys
        sys.path[:] = [{str(tmp_path)!r}, *(each for each in sys.path if each not in ("", {str(ROOT)!r}))]
        from pathlib import Path
        from bench.job import Job
        from bench.launchers import local
        from tests.reports.synthetic_results import cell
        results = Path({str(tmp_path)!r})
        launcher = local.LocalLauncher(work="who")
        launcher.start(Job(cell("lora", "rotten_tomatoes", 0), "train", results, results, (), 1), local.Slot(0, 1))
        while launcher.running:
            list(launcher.wait(timeout=1))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    for path in ("/nowhere", None):
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd="/", env=environ | ({"PYTHONPATH": path} if path else {}), capture_output=True, text=True
        )
        told = (tmp_path / "who").read_text() if not done.returncode else done.stderr
        assert told == repr((f"{tmp_path}/bench/launchers/server.py", path))


def test_what_a_killed_worker_leaves_behind_is_removed_and_nobody_speaks_of_it(tmp_path: Path):
    (tmp_path / "shares.py").write_text(
        "import multiprocessing, os\n"
        "def run(job, line, threads):\n"
        "    lock = multiprocessing.RLock()\n"
        "    (job.results / 'name').write_text(lock._semlock.name)\n"
        "    os._exit(9)\n"
    )
    script = f"""
        import sys
        sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]
        from pathlib import Path
        from bench.job import Job
        from bench.launchers import local
        from tests.reports.synthetic_results import cell
        results = Path({str(tmp_path)!r})
        launcher = local.LocalLauncher(work="shares")
        launcher.start(Job(cell("lora", "rotten_tomatoes", 0), "train", results, results, (), 1), local.Slot(0, 1))
        while launcher.running:
            list(launcher.wait(timeout=1))
        named = Path("/dev/shm/sem." + (results / "name").read_text()[1:])
        print(named, named.exists())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    named, _, was_there = done.stdout.strip().rpartition(" ")
    if sys.platform == "linux":
        assert was_there == "True" and not Path(named).exists()


def test_bench_run_begins_its_server_before_it_reads_the_suite_and_takes_it_along(tmp_path: Path):
    (tmp_path / "wrong.yaml").write_text("methods: [no_such_method]\n")
    script = """
        import psutil, sys
        from bench import cli, cluster
        read = cluster.read_suite
        def looking(arguments):
            [server] = [each for each in psutil.Process().children() if "forkserver" in " ".join(each.cmdline())]
            print(server.pid, flush=True)
            return read(arguments)
        cluster.read_suite = looking
        cli.main()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), "run", "wrong.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "the key 'tasks' is missing" in done.stderr and "Traceback" not in done.stderr
    psutil.wait_procs([psutil.Process(pid) for pid in map(int, done.stdout.split()) if psutil.pid_exists(pid)], 5)
    assert not psutil.pid_exists(int(done.stdout))


def test_no_server_is_begun_for_a_suite_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["bench", "run", "no-such-suite"])
    monkeypatch.setattr(forking, "begin", lambda *_: pytest.fail("begun"))
    with pytest.raises(SystemExit, match="no suite 'no-such-suite'"):
        cli.main()
