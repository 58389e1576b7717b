"""In what results of several folders differ such that they cannot be compared without a word about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from records.record import Record
from records.text import escaped, listing


@dataclass(frozen=True)
class Difference:
    """`what` is in one folder (`one`) of other values than in another."""

    aspect: str
    what: str
    one: str
    values: tuple[str, ...]
    other: str
    others: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}: {listing(self.values)} in {self.one}, {listing(self.others)} in {self.other}"


def _code(record: Record) -> Iterable[tuple[str, Any]]:
    """The commit tells more than the version, and is not known of what was installed."""
    environment = record.environment
    commit, version = environment.get("commit"), _versions(record).get("adaptbench")
    changed = " with local changes" if environment.get("dirty") else ""
    yield "the code's version", version
    yield "the code's commit", f"{str(commit)[:12]}{changed}" if commit else None


def _precision(record: Record) -> Iterable[tuple[str, Any]]:
    yield "the precision of the arithmetic", record.environment.get("precision")


def _data(record: Record) -> Iterable[tuple[str, Any]]:
    for repository, commit in (record.data.commits if record.data else {}).items():
        yield f"the commit of the data {repository}", commit


def _device(record: Record) -> Iterable[tuple[str, Any]]:
    """Where costs were measured; of processors the kind counts as well."""
    if record.cost is None:
        return
    where = record.environment | record.profiled
    device, processor = where.get("device"), where.get("processor")
    on_cpu = processor and str(device) == "cpu"
    yield "the device on which costs were measured", f"{device} ({processor})" if on_cpu else device


def _libraries(record: Record) -> Iterable[tuple[str, Any]]:
    for name in ("torch", "transformers"):
        yield f"the version of {name}", _versions(record).get(name)


def _versions(record: Record) -> dict[str, Any]:
    versions = record.environment.get("versions")
    return versions if isinstance(versions, dict) else {}


# Under the names that the command line has for them.
ASPECTS: dict[str, Callable[[Record], Iterable[tuple[str, Any]]]] = {
    "commit": _code,
    "precision": _precision,
    "data": _data,
    "device": _device,
    "versions": _libraries,
}


def differences(folders: Sequence[tuple[str, Sequence[Record]]]) -> list[Difference]:
    """Between each two folders, given by name with their records; once for each thing that differs. What a folder does
    not know is no difference."""
    found: dict[str, Difference] = {}
    known = [(name, _known(records)) for name, records in folders]
    for (one, values), (other, others) in combinations(known, 2):
        for key in values.keys() & others.keys():
            if values[key] != others[key]:
                aspect, what = key
                found.setdefault(what, Difference(aspect, what, one, _sorted(values[key]), other, _sorted(others[key])))
    order = list(ASPECTS)
    return sorted(found.values(), key=lambda each: (order.index(each.aspect), each.what))


def _known(records: Sequence[Record]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for aspect, told in ASPECTS.items():
            for what, value in told(record):
                if value is not None:
                    found.setdefault((aspect, escaped(what)), set()).add(escaped(str(value))[:80])
    return found


def _sorted(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(values))
