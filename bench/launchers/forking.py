"""The process from which workers are forked, as its scheduler has it.

What workers import takes the server seconds, as reading a suite takes the scheduler: begun early, it does so meanwhile.
Which methods, tasks and backbones they will need is known only then, and told later, by a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bench.launchers import leftovers, server
from records.files import write_atomically

if TYPE_CHECKING:
    from bench.job import Job

# What every worker imports.
WORKER = "bench.worker"

# Of Python's resource tracker, in the words of its option -W.
OF_LEAKS = "ignore:resource_tracker:UserWarning"


def begin(results: Path, work: str = WORKER) -> None:
    """Sees to it that it runs, for cells whose results go into this folder, and imports `work`. Raises OSError where no
    process can be started."""
    with _prepared(results, work):
        _ask()
        forkserver.ensure_running()


def start(worker: BaseProcess, job: Job, work: str, modules: Sequence[str]) -> None:
    """Has it fork a worker for the job, once it has imported the `modules` and, for `bench.worker`, made ready what it
    can of the backbone; a server that has died is replaced. Raises OSError and EOFError where no process can be
    started."""
    with _prepared(job.results, work):
        backbones = [(job.cell.backbone, str(job.base))] if WORKER in (work, *modules) else []
        _ask(modules, *backbones)
        worker.start()


def _ask(modules: Sequence[str] = (), *backbones: tuple[str, str]) -> None:
    """Writes down what the server is to have for the next worker, and where it finds modules: where workers do, who are
    given this path."""
    with contextlib.suppress(OSError):  # on a full disk: workers do it themselves
        wanted = json.dumps({"path": _path(), "modules": list(modules), "backbones": backbones})
        if not (asked := _asked()).exists() or asked.read_text(encoding="utf-8") != wanted:
            write_atomically(asked, wanted)


def _path() -> list[str]:
    """Where modules are found. Not in the current folder where that stands as '', which follows the process about; what
    a script or an entry of PYTHONPATH names stays, whatever it is."""
    return [each for each in sys.path if each]


def _asked() -> Path:
    """The file that says so, which goes with this process."""
    return Path(util.get_temp_dir()) / "asked.json"


@contextlib.contextmanager
def _prepared(results: Path, work: str) -> Iterator[None]:
    # Inherited by the server and its workers: a fork needs no second pool.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    forkserver.set_forkserver_preload([server.__name__, work])
    with _path_of_text(), _environment(results), _without_main():
        _begin_to_track()
        yield


def _begin_to_track() -> None:
    """What a worker shares and leaves behind when it is killed, such as tqdm's lock, Python removes at the end of the
    run; it is not to speak of it."""
    sys.warnoptions.append(OF_LEAKS)  # which the process that does so is started with
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(OF_LEAKS)


@contextlib.contextmanager
def _environment(results: Path) -> Iterator[None]:
    """What a server reads that is started now: whose it is, what to have, and where it finds itself: in the tree that
    is at work here, of which there may be several on one machine. By the mark are known all processes that come of
    it."""
    added = {
        server.SCHEDULER: str(os.getpid()),
        server.ASKED: str(_asked()),
        server.SAFE_PATH: "1",
        server.PATH: os.pathsep.join(_path()),
        server.PATH_BEFORE: os.environ.get(server.PATH, ""),
        leftovers.RUN: leftovers.mark(results),
    }
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A worker is told nothing of the script or notebook that runs the suite: it would import that, and with it run the
    suite once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _path_of_text() -> Iterator[None]:
    """Python passes over what is no text in its path, as a Path; multiprocessing would write it into a command."""
    before = sys.path[:]
    sys.path[:] = [each for each in before if isinstance(each, str)]
    try:
        yield
    finally:
        sys.path[:] = before
