"""Imported by the fork server before all else, for what it does there: the server must not outlive the scheduler, and
has for its workers what they are known to need before it forks them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.lifeline import die_with
from records.text import described

# Set by the scheduler for its server, and taken away here, so that nothing that a plugin starts inherits them.
SCHEDULER = "BENCH_SCHEDULER"
ASKED = "BENCH_ASKED"
SAFE_PATH = "PYTHONSAFEPATH"
# Had by the server alone; what plugins start gets what it was before.
PATH = "PYTHONPATH"
PATH_BEFORE = "BENCH_PYTHONPATH"

# Between tries to fork a worker.
SECONDS_BETWEEN_FORKS = (0.1, 0.5, 2.0)

fork = os.fork

# The backbones that were looked at, each with the folder from which it is seen.
_seen: set[tuple[str, str]] = set()

# The server's, also in the workers that are forked from it.
PID = os.getpid()


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In one line what ends the server, as a fork that the system refuses; the scheduler starts another."""
    if os.getpid() != PID:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"the process from which workers are forked has ended: {described(error)}", file=sys.stderr)


def fork_patiently() -> int:
    """What the system refuses for want of processes is tried again: were the server to end, all workers would end with
    it. Raises OSError."""
    _have_what_was_asked_for()
    # A worker's collector looks at what is the worker's, and so leaves the server's pages shared.
    gc.freeze()
    for pause in SECONDS_BETWEEN_FORKS:
        try:
            pid = fork()
            break
        except BlockingIOError:
            time.sleep(pause)
    else:
        pid = fork()
    if not pid:
        os.fork = fork  # in a worker it is the plugin's affair
        gc.enable()
    return pid


def _what_was_asked_for() -> dict[str, Any]:
    """Nothing, where that cannot be read. What it names is had from where the scheduler has it: another's package of
    the same name, once imported, would be every worker's."""
    try:
        asked: dict[str, Any] = json.loads(_asked.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"modules": [], "backbones": []}
    sys.path[:] = asked["path"]
    return asked


def _have_what_was_asked_for() -> None:
    """What cannot be had here a worker will fail to have, and say so."""
    asked = _what_was_asked_for()
    for name in asked["modules"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for spec, base in asked["backbones"]:
        if (spec, base) not in _seen:
            _seen.add((spec, base))
            with contextlib.suppress(BaseException):  # a tokenizer's panic is one; it is to end one cell, in its worker
                from bench.backbones import ready

                ready.make(spec, Path(base))


if scheduler := os.environ.pop(SCHEDULER, None):
    die_with(int(scheduler))
    os.environ.pop(SAFE_PATH, None)
    os.environ.pop(PATH, None)
    if before := os.environ.pop(PATH_BEFORE, ""):
        os.environ[PATH] = before
    _asked = Path(os.environ.pop(ASKED))
    gc.disable()  # nothing that is imported becomes garbage
    # Ctrl-C is the scheduler's to answer, also while the server imports. Python gives a fork what it finds here: a
    # worker would die of it, with a traceback, before it can say no.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _say
    os.fork = fork_patiently
    _what_was_asked_for()  # for its path, from which the server is about to import what all workers do
