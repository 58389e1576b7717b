"""Cells that differ in their seed alone are profiled once."""

from __future__ import annotations

import pytest

from bench.launchers.local import LocalLauncher, Slot
from bench.scheduler import Scheduler
from bench.shared_profiles import SharedProfiles
from records.record import Cost
from records.store import RecordStore
from tests.bench.test_records import cell
from tests.bench.test_records import record as record_of
from tests.bench.test_scheduler import Listener, suite_of
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("server_of_its_own")


@pytest.fixture(autouse=True)
def _odd_workers_are_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("slots", [1, 2])
def test_seeds_share_a_profile_and_a_seed_that_comes_later_has_it_too(tmp_path, slots):
    def run(seeds):
        suite = suite_of(tmp_path, profile=True)
        suite.cells = {
            each.id: each for seed in seeds for rank in (1, 2)
            for each in [cell(label="costs", seed=seed, hyperparameters={"rank": rank})]
        }  # fmt: skip
        listener = Listener()
        launcher, places = LocalLauncher(work="tests.bench.odd_workers"), [Slot(index, 1) for index in range(slots)]
        scheduler = Scheduler(suite, RecordStore(tmp_path / "results"), launcher, places)
        return scheduler.run(listener), listener, scheduler

    for seeds in (range(3), range(4)):
        found, listener, scheduler = run(seeds)
        assert len((tmp_path / "results" / "profiled").read_text().split()) == 2  # one of each configuration, ever
        assert scheduler.left == 0
        assert {record.status for record in found} == {"ok"} and len(found) == 2 * len(seeds)
        assert found == [scheduler.store.read(record.id) for record in found]
        for rank in (1, 2):
            records = [one for one in found if one.cell.hyperparameters["rank"] == rank]
            [own] = [one for one in records if one.profile_of is None]
            assert {one.profile_of for one in records} == {None, own.id}
            assert {one.cost.stored_bytes for one in records} == {own.cell.seed}
            assert all(one.profiled == {"processor": "here"} for one in records)
        assert {one.id for one in listener.ends if one.status == "ok"} == {
            one.id for one in found if len(seeds) == 3 or one.cell.seed == 3
        }


def test_a_cell_of_smaller_micro_batches_has_a_profile_of_its_own(tmp_path):
    cells = [cell(seed=seed) for seed in range(3)]
    shared = SharedProfiles()
    first, smaller, last = (
        record_of(each, status="trained", micro_batch=size) for each, size in zip(cells, (None, 4, None), strict=True)
    )
    assert [shared.offer(one) for one in (first, smaller, last)] == [(first, True), (smaller, True), (last, False)]
    assert shared.waiting == {one.id for one in cells}
    assert [one.id for one in shared.settle(first.model_copy(update={"cost": Cost(protocol={})}))] == [last.id]
    assert shared.waiting == {smaller.id}
    failed = record_of(cell(seed=9), status="trained", micro_batch=4)
    assert shared.offer(failed) == (failed, False)
    assert [one.reason for one in shared.settle(smaller.model_copy(update={"reason": "no luck"}))] == ["no luck"]
