"""The kinds of faults, and where in a run they strike: at points drawn by a seed, or one after another until none is
left."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.campaign import Campaign, Injection, Outcome, reached
from tests.faults.cells import STEPS
from tests.faults.points import Fault, Role
from tests.faults.runs import Place

Drawn = random.Random
# About how many calls a process in this role makes: points are drawn among so many.
CALLS: dict[Role, int] = {"scheduler": 60, "server": 4, "worker": 40}

# What code in a worker may do, and what the record says then.
PLUGINS = {
    "a plugin runs out of memory": ("out_of_memory", "MemoryError"),
    "a plugin calls os._exit": ("exit_at_once", "ended itself with status 0"),
    "a plugin calls sys.exit": ("exit_by_exception", "SystemExit"),
    "a plugin hangs": ("hang", "its time limit"),
    "a plugin hangs and holds the interpreter's lock": ("hang_with_lock", "its time limit"),
    "a plugin forks, and the child goes on": ("fork_into_our_code", ""),
    "a plugin leaves a process": ("start_a_process", ""),
    "a plugin prints 20 MB": ("flood", ""),
    "a plugin changes folder, environment, signals, umask": ("change_state", ""),
    "a plugin closes all descriptors": ("close_descriptors", ""),
}
REFUSALS = {"the disk is full from then on": "ENOSPC", "the folder is read-only from then on": "EROFS",
            "the disk fails once": "EIO"}  # fmt: skip


def _at(role: Role, number: int, action: str, argument: str = "", **more: object) -> Fault:
    return Fault(role, "any", number, action, argument, **more)  # type: ignore[arg-type]


def _signals(drawn: Drawn, signal: str, whom: Role) -> Callable[[int], Injection]:
    # A scheduler is hit from within, too: while it plans and writes there is no worker.
    role: Role = drawn.choice(["scheduler", "worker"]) if whom == "scheduler" else "worker"
    return lambda number: Injection(f"{signal} to {_named(whom)}", _at(role, number, "kill", f"{signal} {whom}"))


def _interrupt(drawn: Drawn) -> Callable[[int], Injection]:
    role: Role = drawn.choice(["scheduler", "worker", "server"])
    return lambda number: Injection("Ctrl-C", _at(role, number, "interrupt"))


def _named(whom: Role) -> str:
    return {"worker": "a worker", "server": "the server of the workers", "scheduler": "the scheduler"}[whom]


def _plugin(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    action, reason = PLUGINS[kind]
    cell = drawn.randrange(3)

    def make(number: int) -> Injection:
        fault = Fault("worker", "step", 1 + number % STEPS, action, cell=cell)
        return Injection(kind, fault, own_cell_only=True, reason=reason)

    return make


def _orphan(drawn: Drawn, whom: Role) -> Callable[[int], Injection]:
    def make(number: int) -> Injection:
        fault = Fault("worker", "step", 1 + number % STEPS, "start_a_process", f"SIGKILL {whom}")
        return Injection(
            f"a plugin leaves a process, and {_named(whom)} is killed", fault, orphaned=whom == "scheduler"
        )

    return make


def _refusal(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    role: Role = drawn.choice(["scheduler", "worker"])
    name = REFUSALS[kind]
    lasting = kind.endswith("from then on")
    return lambda number: Injection(kind, Fault(role, "disk", number, "error", name, lasting=lasting))


def _gone(drawn: Drawn, action: str) -> Callable[[int], Injection]:
    role: Role = drawn.choice(["scheduler", "worker"])
    said = {"remove_results": "removed", "move_results": "moved"}[action]
    return lambda number: Injection(f"the results folder is {said} under way", _at(role, number, action))


def _clock(drawn: Drawn, seconds: int) -> Callable[[int], Injection]:
    role: Role = drawn.choice(["scheduler", "worker"])
    said = "forward by a day" if seconds > 0 else "back by an hour"
    return lambda number: Injection(f"the clock jumps {said}", _at(role, number, "jump", str(seconds)))


# What may be found of a file that was written half, or on a bad disk.
def _cut(path: Path, drawn: Drawn) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: drawn.randrange(len(data))])


def _zeros(path: Path, drawn: Drawn) -> None:
    data = path.read_bytes()
    begin = drawn.randrange(len(data))
    path.write_bytes((data[:begin] + bytes(16) + data[begin + 16 :])[: len(data)])


def _folder(path: Path, drawn: Drawn) -> None:
    path.unlink()
    path.mkdir()


RUINS = (_cut, _zeros, _folder)


def _damaged(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    ruin, cell = drawn.choice(RUINS), drawn.randrange(3)

    def damage(place: Place) -> None:
        _cut_short(place, drawn)
        [name] = [each for each in FILES if each in kind] or [""]
        paths = sorted(place.folder.glob(FILES[name]))
        ruin(paths[cell % len(paths)], drawn)

    mends: Callable[[Place], object] = _away if "manifest" in kind else lambda place: None
    return lambda number: Injection(kind, damage=damage, mends=mends)


# By the words that name them.
FILES = {
    "record": "results/cells/*/record.json",
    "manifest": "results/manifest.json",
    "file of predictions": "results/cells/*/predictions.parquet",
    "entry of the cache": "cache/entry/number",
}


def _away(place: Place) -> None:
    """What the line says that is told of a manifest which cannot be read."""
    path = place.results / "manifest.json"
    if path.exists():
        path.rename(place.folder / "manifest-moved-away.json")


def _cut_short(place: Place, drawn: Drawn) -> None:
    """As if the run had ended before it had all cells."""
    for path in sorted(place.results.glob("cells/*")):
        if json.loads((path / "record.json").read_text())["status"] == "failed":
            shutil.rmtree(path)


def _swapped(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    def damage(place: Place) -> None:
        one, other = drawn.sample(sorted(place.results.glob("cells/*/record.json")), 2)
        shutil.copy(one, other)

    return lambda number: Injection(kind, damage=damage)


def _half_written(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    def damage(place: Place) -> None:
        [folder, *_] = drawn.sample(sorted(place.results.glob("cells/*")), 1)
        for name in ("record.json", "predictions.parquet", "state.safetensors"):
            (folder / f".{name}.4242").write_text("half")
        (place.results / ".manifest.json.4242").write_text("half")
        (place.results / "examples" / ".t-0.parquet.4242").write_text("half")
        shutil.rmtree(place.folder / "cache" / "entry")
        (place.folder / "cache" / "entry.making").mkdir()

    return lambda number: Injection(kind, damage=damage)


def _no_flock(number: int) -> None:
    """As on some network file systems."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    fcntl.flock = refused  # type: ignore[assignment]


def _second(place: Place) -> Iterator[str]:
    """A second run in the folder, while the first is at work there."""
    other = Place(place.folder, place.mark, place.before, number=place.number + 10)
    ended = other.run()
    refused = ended.status == 1 and "another run is at work here" in ended.last
    if not refused and not ended.last.startswith("[4/4]"):
        yield f"a second run said {ended.last!r}"


def _two(drawn: Drawn, flock: bool) -> Callable[[int], Injection]:
    missing = drawn.choice([errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
    kind = "a second run is started in the folder" + ("" if flock else ", where flock is missing")
    setting: Callable[[], None] = (lambda: None) if flock else partial(_no_flock, missing)
    return lambda number: Injection(kind, setting=setting, beside=_second)


def _killed_without_flock(drawn: Drawn, kind: str) -> Callable[[int], Injection]:
    role: Role = drawn.choice(["scheduler", "worker"])
    setting = partial(_no_flock, errno.ENOLCK)
    return lambda number: Injection(kind, _at(role, number, "kill", "SIGKILL scheduler"), setting=setting)


Kind = Callable[[Drawn], Callable[[int], Injection]]


def kinds() -> list[tuple[Role, Kind]]:
    """One of each, with the role whose calls are counted."""
    found: list[tuple[Role, Kind]] = []
    for signal in ("SIGKILL", "SIGTERM", "SIGSTOP"):
        whom: tuple[Role, ...] = ("worker", "server", "scheduler")
        found += [("worker", partial(_signals, signal=signal, whom=each)) for each in whom]
    found.append(("worker", _interrupt))
    found += [("worker", partial(_plugin, kind=kind)) for kind in PLUGINS]
    found += [("worker", partial(_orphan, whom=whom)) for whom in ("worker", "scheduler")]
    found += [("worker", partial(_refusal, kind=kind)) for kind in REFUSALS]
    found += [("worker", partial(_gone, action=action)) for action in ("remove_results", "move_results")]
    found += [("worker", partial(_clock, seconds=seconds)) for seconds in (86_400, -3_600)]
    found += [("worker", partial(_damaged, kind=f"a damaged {name}")) for name in FILES]
    found.append(("worker", partial(_swapped, kind="the record of another cell")))
    found.append(("worker", partial(_half_written, kind="files that were written half")))
    found += [("worker", partial(_two, flock=flock)) for flock in (True, False)]
    found.append(("worker", partial(_killed_without_flock, kind="SIGKILL to the scheduler, where flock is missing")))
    return found


def at_random(campaign: Campaign, seed: int, numbers: Iterable[int]) -> Iterator[Outcome]:
    """The injections with these numbers, of each kind in turn. Each has points of its own, whatever goes before."""
    found = kinds()
    order = random.Random(seed).sample(found, len(found))
    for number in numbers:
        drawn = random.Random(f"{seed} {number}")
        role, kind = order[number % len(order)]
        yield reached(campaign, kind(drawn), drawn.randint(1, CALLS[role]), drawn)


# Of which call, in which role, each number is tried, with what the system says, for once and from then on.
SERIES: list[tuple[Role, str, str]] = [
    ("scheduler", "fork", "EAGAIN"),
    ("server", "fork", "EAGAIN"),
    *(("scheduler", call, "ENOSPC") for call in ("write", "replace", "fsync", "open")),
    *(("worker", call, "ENOSPC") for call in ("write", "replace", "fsync", "open")),
]  # fmt: skip


def one_after_another(campaign: Campaign, role: Role, call: str, said: str) -> Iterator[Outcome]:
    """The first such call fails, then the second, and so on until a run makes fewer; that one alone, and then all that
    follow, too."""
    for lasting in (False, True):
        kind = f"{call}, {_named(role)}: " + ("each from the n-th on" if lasting else "the n-th")
        for number in range(1, 200):
            fault = Fault(role, call, number, "error", said, cell=1 if role == "worker" else None, lasting=lasting)
            outcome = campaign.inject(Injection(kind, fault))
            if not outcome.reached:
                break
            yield outcome
