"""Faults in real trainings, by the engine itself: methods that misbehave beside some that do not, and signals."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.conftest import PLUGINS, ROOT, bench_command, bench_environ, scores
from tests.faults.campaign import Outcome
from tests.faults.runs import MARK, Left, Place, left

TIME_LIMIT = "45 s"
METHODS = {"full": {"lr": 1e-3}, "head": {"lr": 1e-2}, "bitfit": {"lr": 1e-2}}
BUDGET = {"train_examples": 64, "validation_examples": 40, "test_examples": 60, "epochs": 4, "batch_size": 8,
          "max_length": 32}  # fmt: skip
# What a vandal does, and how its cell ends: with results of its own, or for this reason.
VANDALS = {
    "calls os._exit": "ended itself with status 0", "calls sys.exit": "ended the process: sys.exit(0)",
    "hangs": "its time limit", "runs out of memory": "out of memory", "is killed": "killed by SIGKILL",
    "forks": "", "leaves a process": "", "prints 20 MB": "", "changes folder, environment, signals, umask": "",
    "changes the defaults of torch": "", "closes all descriptors": "",
}  # fmt: skip
TINY = "from tests.faults.real import write_backbone; import sys; write_backbone(sys.argv[1])"
SIGNALS = [("SIGKILL", "worker"), ("SIGKILL", "server"), ("SIGKILL", "scheduler"), ("SIGTERM", "scheduler"),
           ("SIGTERM", "worker"), ("SIGSTOP", "scheduler")]  # fmt: skip


def write_backbone(folder: str) -> None:
    """A two-layer BERT with random weights. Imports torch: called in a process of its own."""
    from tests.conftest import make_tiny_backbone

    make_tiny_backbone(Path(folder))


class Runs:
    """`bench run` in a folder, as a user starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.environ = bench_environ(folder) | {MARK: self.mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", TINY, str(folder / "tiny-bert")], env=self.environ, cwd=ROOT, check=True)

    def suite(self, name: str, methods: dict[str, Any]) -> Path:
        """Written to a file."""
        path = self.folder / f"{name}.yaml"
        keys = {
            "backbones": [str(self.folder / "tiny-bert")], "tasks": ["colours"], "methods": methods, "seeds": [0],
            "budget": BUDGET, "precision": "no", "profile": False, "keep": {"state": "all"}, "time_limit": TIME_LIMIT,
            "plugins": [str(PLUGINS / name) for name in ("colours.py", "vandals.py")],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(keys, sort_keys=False))
        return path

    def start(self, suite: Path, results: Path) -> subprocess.Popen[str]:
        """Leaves it running."""
        return subprocess.Popen(
            bench_command("run", suite, "--results", results, "--slots", 2), cwd=self.folder, env=self.environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def left_running(self) -> list[psutil.Process]:
        """Processes that came of a run here."""
        return Place(self.folder, self.mark).left_running()


def outcomes(folder: Path, seed: int) -> Iterator[Outcome]:
    """Of vandals, then of signals."""
    runs = Runs(folder)
    drawn = random.Random(seed)
    plain = runs.suite("plain", METHODS)
    out, _ = runs.start(plain, folder / "plain").communicate()
    whole = left(folder / "plain")
    assert len(whole.records) == len(METHODS), out
    yield from _vandals(runs, drawn, whole)
    for name, whom in SIGNALS:
        yield _signal(runs, plain, name, whom, drawn, whole)


def _vandals(runs: Runs, drawn: random.Random, whole: Left) -> Iterator[Outcome]:
    steps = BUDGET["train_examples"] // BUDGET["batch_size"] * BUDGET["epochs"]
    vandals = {
        f"vandal@{index}": {"what": what, "at": drawn.randint(1, steps - 1)} for index, what in enumerate(VANDALS)
    }
    order = drawn.sample([*METHODS, *vandals], len(METHODS) + len(vandals))
    suite = runs.suite("vandals", {name: (METHODS | vandals)[name] for name in order})
    out, _ = runs.start(suite, runs.folder / "vandals").communicate()
    found = left(runs.folder / "vandals")
    wrong = ["an innocent cell is another" for cell in whole.records if found.records.get(cell) != whole.records[cell]]
    wrong += [
        "an innocent cell's file is another" for name in whole.files if found.files.get(name) != whole.files[name]
    ]
    wrong += ["a traceback was printed"] * ("Traceback" in out)
    wrong += [f"process {each.pid} was left: {each.name()}" for each in runs.left_running()]
    records = [json.loads(text) for text in found.records.values()]
    for what, reason in VANDALS.items():
        own = [each for each in records if each["cell"]["hyperparameters"].get("what") == what]
        became = "its cell has results" if not reason else "its cell failed with the reason"
        said = [f"its cell: {each['status']}, {each['reason']}" for each in own if not _as_said(each, reason)]
        lacking = ["its cell is not accounted for"] * (len(own) != 1)
        yield Outcome(f"a method {what}", became, wrong=[*wrong, *said, *lacking], said=out)


def _as_said(record: dict[str, Any], reason: str) -> bool:
    return reason in str(record["reason"]) if reason else record["status"] == "trained"


def _signal(runs: Runs, suite: Path, name: str, whom: str, drawn: random.Random, whole: Left) -> Outcome:
    results = runs.folder / f"{name}-{whom}"
    run = runs.start(suite, results)
    # Once the first cell is under way, at a moment of what follows.
    while not list(results.glob("cells/*/log.txt")) and run.poll() is None:
        time.sleep(0.05)
    time.sleep(drawn.uniform(0, 3))
    hit = _hit(run.pid, whom, getattr(signal, name))
    if name == "SIGSTOP":
        time.sleep(1)
        _hit(run.pid, whom, signal.SIGCONT)
    out, _ = run.communicate(timeout=300)
    wrong = ["a traceback was printed"] * ("Traceback" in out)
    wrong += [f"process {each.pid} was left: {each.name()}" for each in runs.left_running()]
    before = scores(results)
    again, _ = runs.start(suite, results).communicate(timeout=300)
    now = left(results)
    wrong += ["the end is another"] * (now != whole)
    lost = [cell for cell, found in before.items() if found["status"] == "trained" and scores(results)[cell] != found]
    wrong += [f"{cell} was finished, and is another" for cell in lost]
    became = "it was killed" if run.returncode < 0 else "it was interrupted" if run.returncode else "it went on"
    return Outcome(f"{name} to the {whom}" if hit else f"{name} to the {whom}, too late", became, wrong=wrong,
                   said=out + again)  # fmt: skip


def _hit(scheduler: int, whom: str, number: int) -> bool:
    """Whether there was one to be hit."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(scheduler)
        if whom == "scheduler":
            os.kill(scheduler, number)
            return True
        for server in process.children():
            workers = server.children()
            if workers:
                (server if whom == "server" else workers[0]).send_signal(number)
                return True
    return False
