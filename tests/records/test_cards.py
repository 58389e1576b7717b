"""A claim that names what there is not is refused where the card is made, and in a stranger's manifest in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from records.cards import Cards, Claim
from records.record import Manifest
from records.store import RecordStore, ResultsError

PLAIN: dict[str, Any] = {
    "text": "Better.",
    "source": "hu2022lora",
    "measure": "score",
    "comparator": "full",
    "relation": "higher",
}
WRONG = [
    ({"measure": "scroe"}, "unknown measure 'scroe'; did you mean 'score'"),
    ({"measure": "percent"}, "unknown measure 'percent'"),  # a quantity, but none that claims are judged by
    ({"relation": "highr"}, "unknown relation 'highr'; did you mean 'higher'"),
    ({"task_kind": "tuning"}, "unknown task_kind 'tuning'"),
    ({"margin": -0.1}, "the margin is a number from 0"),
    ({"factor": 0.0}, "the factor is a number above 0"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_claim_about_what_there_is_not_is_an_error_where_it_is_made(change: dict[str, Any], said: str):
    assert Claim(**PLAIN).measure == "score"
    with pytest.raises(ValueError, match=said):
        Claim(**PLAIN | change)


def test_of_a_manifest_the_card_is_named_in_one_line(tmp_path: Path):
    store = RecordStore(tmp_path)
    store.write_manifest(Manifest(suite={}, cells={}, cards=Cards(), environment={}, created=""))
    path = tmp_path / "manifest.json"
    lora = {"title": "LoRA", "claims": [PLAIN | {"measure": "scroe"}]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cards": {"methods": {"lora": lora}}}))
    with pytest.raises(
        ResultsError, match=r"the card of the method 'lora' cannot be used: claims\.0: unknown"
    ) as caught:
        store.manifest()
    assert "\n" not in str(caught.value)
