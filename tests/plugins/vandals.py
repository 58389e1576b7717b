"""A method that does something to its process at one step."""

import dataclasses
import os
import signal
import sys
import time
from typing import ClassVar

import torch
from faulty import CARD, Everything


class Vandal(Everything):
    """Does `what` at the step `at`."""

    card: ClassVar = dataclasses.replace(CARD, name="vandal")
    what: str
    at: int = 3

    def after_step(self, anatomy, step, optimizer):
        if step == self.at:
            ACTS[self.what]()


def changes_its_process():
    os.chdir("/")
    os.environ.clear()
    os.umask(0)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout = sys.stderr = None


def changes_torch():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.manual_seed(17)
    torch.use_deterministic_algorithms(True)


def floods():
    for _ in range(200):
        os.write(1, b"x" * 10**5 + b"\n")


ACTS = {
    "calls os._exit": lambda: os._exit(0),
    "calls sys.exit": lambda: sys.exit(0),
    "hangs": lambda: time.sleep(1000),
    "forks": lambda: os.fork() or None,
    "leaves a process": lambda: os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000"),
    "prints 20 MB": floods,
    "runs out of memory": lambda: torch.empty(2**60),
    "changes folder, environment, signals, umask": changes_its_process,
    "changes the defaults of torch": changes_torch,
    "closes all descriptors": lambda: os.closerange(0, 256),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
