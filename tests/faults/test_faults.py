"""A brief campaign, and that it would notice what it looks for."""

from __future__ import annotations

import pytest

from records.store import RecordStore
from tests.faults import kinds
from tests.faults.campaign import Campaign, Injection, Outcome
from tests.faults.runs import Place


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Campaign:
    return Campaign.begin(tmp_path_factory.mktemp("faults"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(20))
def test_whatever_befalls_a_run_it_ends_complete_and_identical(campaign: Campaign, number: int):
    [outcome] = kinds.at_random(campaign, 1, [number])
    assert outcome.reached
    assert not outcome.wrong, outcome.said


def another_score(place: Place) -> None:
    store = RecordStore(place.results)
    record = next(each for each in store.records() if each.status == "ok")
    store.write(record.model_copy(update={"test": {"accuracy": 0.75}}))


def another_answer(place: Place) -> None:
    """With a record that says so, as a run would that is not the same twice."""
    store = RecordStore(place.results)
    record = next(each for each in store.records() if each.status == "ok")
    record.kept["state.safetensors"] = store.keep(record.id, "state.safetensors", b"another")
    store.write(record)


def a_half_written_file(place: Place) -> None:
    (place.results / "examples" / "half.parquet").write_text("half")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("damage", "noticed"),
    [
        (another_score, "records: "),
        (another_answer, "state.safetensors is another"),
        (a_half_written_file, "there are more files"),
    ],
)
def test_an_end_that_is_another_is_noticed(campaign: Campaign, damage, noticed: str):
    outcome: Outcome = campaign.inject(Injection("damage that nothing mends", damage=damage))
    assert any(noticed in line for line in outcome.wrong), outcome.wrong
