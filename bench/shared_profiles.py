"""One cost profile for all cells that differ in nothing but their seed: what a step costs does not depend on it."""

from __future__ import annotations

from records.record import Record

Key = tuple[str, int | None]


class SharedProfiles:
    """Which cells of a run share a profile, and which of them wait for it. A cell for which memory did not suffice, so
    that it took smaller micro-batches than others, is profiled by itself."""

    def __init__(self) -> None:
        self._known: dict[Key, Record] = {}
        self._waiting: dict[Key, list[Record]] = {}

    @property
    def waiting(self) -> set[str]:
        """The ids of those that wait for a profile, be it their own."""
        return {record.id for records in self._waiting.values() for record in records}

    def know(self, record: Record) -> None:
        """Takes note of a profile, if the record has one."""
        if record.cost is not None:
            self._known.setdefault(_key(record), record)

    def offer(self, record: Record) -> tuple[Record, bool]:
        """A trained record, with the profile that holds for it where that is known; and, where it is not, whether this
        is the first that asks: it is then to be profiled, and those after it wait for `settle`."""
        key = _key(record)
        if key in self._known:
            return _with_cost(record, self._known[key]), False
        self._waiting.setdefault(key, []).append(record)
        return record, len(self._waiting[key]) == 1

    def settle(self, profiled: Record) -> list[Record]:
        """Those that waited for a profile, now that the one which was profiled has it, or the reason why it has none;
        itself excluded."""
        self.know(profiled)
        waiting = [one for one in self._waiting.pop(_key(profiled), []) if one.id != profiled.id]
        if profiled.cost is not None:
            return [_with_cost(one, profiled) for one in waiting]
        return [one.model_copy(update={"reason": profiled.reason}) for one in waiting]


def _key(record: Record) -> Key:
    return record.cell.configuration, record.micro_batch


def _with_cost(record: Record, profiled: Record) -> Record:
    where = profiled.environment | profiled.profiled
    apart = {key: value for key, value in where.items() if record.environment.get(key) != value}
    found = {"cost": profiled.cost, "profile_of": profiled.profile_of or profiled.id, "profiled": apart}
    return record.model_copy(update=found | {"status": "ok", "reason": None})
