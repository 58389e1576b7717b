"""Runs a cell in several processes on this machine: starts its ranks, and sees to it that they end together.

The process that starts them does none of the work. A rank that fails, or is killed, ends the others, which would wait
for it, and its reason is the cell's. One that hangs is ended by the time limit, with this process and all the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, NoReturn

from bench import environment
from bench.launchers.local import ATTEMPTS_WHEN_KILLED, carry_out, describe_exit
from bench.lifeline import Lifeline, die_with, silent, watch_scheduler
from records.store import RecordStore

if TYPE_CHECKING:
    from bench.job import Job

# Does a job's work, or a rank's part of it, on so many cores.
Work = Callable[["Job", Lifeline, int], None]

# Ranks that can no longer reach one that died fail as well. Who was first is seen from what all say within this time.
SECONDS_TO_TELL = 1.0
# What gloo and NCCL say then.
ABOUT_ANOTHER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL")


class RankFailed(Exception):
    """Why a rank has come to nothing. `code` is that of its process, None where it could say so itself."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


@dataclass
class _Rank:
    """One of the processes, and what it has said came of its part: a status, and why. It has ended without a word where
    the channel is closed."""

    name: str
    process: Any
    channel: Any
    said: tuple[str, str | None] | None = None

    @property
    def bad(self) -> bool:
        return self.channel.closed if self.said is None else self.said[0] == "failed"

    def listen(self) -> None:
        try:
            self.said = self.channel.recv()
        except (EOFError, OSError):
            self.channel.close()
            self.process.join()


def run(work: Work, job: Job, reports: connection.Connection, threads: int) -> None:
    """Does a job's work in as many processes as it asks for, and leaves its record. Raises OSError where the disk
    refuses that, or the log."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    began = time.monotonic()
    RecordStore(job.results).log(job.cell.id).open("a" if job.attempt > 1 else "w").close()  # all ranks append to it
    ranks = _start(work, job, reports, max(1, threads // job.processes))
    try:
        # Where they meet. It has threads, which a fork would lose: so it comes after them.
        store = TCPStore("127.0.0.1", 0, job.processes, is_master=True, wait_for_workers=False)
        _send(ranks, [store.port] * len(ranks))
        _await(ranks)
        _send(ranks, [rank is ranks[0] for rank in ranks])  # who writes the record
        ranks[0].process.join()
        if code := ranks[0].process.exitcode:
            _end(ranks)
            _end_as(code)
    except RankFailed as failed:
        _end(ranks)
        if failed.code is not None and failed.code < 0 and job.attempt < ATTEMPTS_WHEN_KILLED:
            _end_as(failed.code)  # as a cell of one process ends, which is then tried again
        where = environment.describe() | {"processes": job.processes} | ({"sharded": True} if job.shard else {})
        RecordStore(job.results).write(job.failed(str(failed), time.monotonic() - began, where))
    finally:
        _end(ranks)


def _start(work: Work, job: Job, reports: connection.Connection, threads: int) -> list[_Rank]:
    context = multiprocessing.get_context("fork")
    ranks = []
    for number in range(job.processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_enter, args=(work, job, number, threads, reports, theirs, os.getpid()))
        process.start()
        theirs.close()
        ranks.append(_Rank(f"process {number + 1} of {job.processes}", process, ours))
    return ranks


def _enter(
    work: Work, job: Job, number: int, threads: int, reports: connection.Connection, channel: Any, starter: int
) -> None:
    """A rank's side. The first speaks for all."""
    if not die_with(starter):
        watch_scheduler()
    rank, size = str(number), str(job.processes)
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=size, LOCAL_WORLD_SIZE=size, MASTER_ADDR="127.0.0.1")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or accelerate would choose
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")

    def part(line: Lifeline) -> None:
        from bench import ranks

        ranks.join(channel, number, job.processes, channel.recv())
        work(job, line, threads)

    if number == 0:
        carry_out(Lifeline(reports), part)
    with silent() as line:
        carry_out(line, part)


def _send(ranks: list[_Rank], words: list[Any]) -> None:
    for rank, word in zip(ranks, words, strict=True):
        try:
            rank.channel.send(word)
        except OSError:  # it has ended, which is noticed where it is waited for
            continue


def _await(ranks: list[_Rank]) -> None:
    """Until all have said what came of their parts. Raises RankFailed unless that is the same."""
    deadline: float | None = None
    while waiting := [rank for rank in ranks if rank.said is None and not rank.channel.closed]:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        ready = connection.wait([rank.channel for rank in waiting], left)
        for rank in waiting:
            if rank.channel in ready:
                rank.listen()
        if any(rank.said is None and rank.bad for rank in ranks):
            break
        if deadline is None and any(rank.bad for rank in ranks):
            deadline = time.monotonic() + SECONDS_TO_TELL
    if bad := [rank for rank in ranks if rank.bad]:
        raise _first(bad, len(ranks))
    if len(found := {rank.said for rank in ranks}) > 1:
        told = "; ".join(str(reason or status) for status, reason in filter(None, found))
        raise RankFailed(f"its processes do not agree on what came of it: {told}")


def _first(bad: list[_Rank], ranks: int) -> RankFailed:
    """What brought about the rest: a rank that ended without a word, else the first reason that is about itself."""
    for rank in bad:
        if rank.said is None:
            return RankFailed(f"{rank.name}: {describe_exit(rank.process.exitcode)}", rank.process.exitcode)
    reasons = [(rank.name, str(rank.said[1])) for rank in bad if rank.said]
    own = [each for each in reasons if not any(words in each[1] for words in ABOUT_ANOTHER)]
    name, reason = (own or reasons)[0]
    shared = len(reasons) == ranks and len({said for _, said in reasons}) == 1
    return RankFailed(reason if shared else f"{name}: {reason}")


def _end(ranks: list[_Rank]) -> None:
    for rank in ranks:
        rank.process.kill()
    for rank in ranks:
        rank.process.join()


def _end_as(code: int) -> NoReturn:
    """Ends this process as that of a rank has ended."""
    if code < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(code)
