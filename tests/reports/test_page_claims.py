"""Claims on the page: each with its verdict, its evidence, and a way to the records."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic
from browser import write_page

from records.cards import Claim
from reports import results as frame
from reports.analysis import claims
from reports.model import claim_words
from reports.render.html_claims import claimed_zone

SCORE = {"source": "hu2022lora", "measure": "score", "comparator": "full", "margin": 0.01, "scope": "GPT-3"}
CLAIMS: dict[str, list[dict[str, Any]]] = {
    "lora": [
        SCORE | {"text": "On par with or better than full fine-tuning.", "relation": "at least"},
        {"text": "Trains fewer parameters.", "source": "hu2022lora", "measure": "adapter_parameters",
         "comparator": "full", "relation": "lower"},
        SCORE | {"text": "Better than a method that is not here.", "relation": "higher", "comparator": "absent"},
    ],
    "head": [SCORE | {"text": "Beats <full> fine-tuning.", "source": "unknown <b>", "relation": "higher"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = synthetic.write_usual(tmp_path_factory.mktemp("claims") / "results")
    synthetic.with_claims(made, CLAIMS)
    return made


def test_every_verdict_is_shown_with_its_evidence(root: Path, opened):
    verdicts = claims.assess(frame.read(root))
    page = opened(write_page(root, root.parent / "page"))
    shown = {article.locator(".quote").inner_text(): article for article in page.locator(".claim").all()}
    assert len(shown) == len(verdicts) == 4
    for verdict in verdicts:
        (article,) = [a for text, a in shown.items() if text.startswith(verdict.claim.text)]
        text = article.inner_text()
        assert article.locator(".status").inner_text() == verdict.verdict
        assert claim_words.measured(verdict) in text
        assert all(caveat in text for caveat in claim_words.caveats(verdict))
        assert claim_words.effect(verdict) in text
        assert article.locator("svg").count() == (verdict.effect is not None)
        if verdict.cells:
            link = article.locator(".said a[href^='#records=']").get_attribute("href")
            assert link.removeprefix("#records=").split(",") == list(verdict.cells)
    page.get_by_role("button", name="not testable here: 1").click()
    assert page.locator(".claim:visible").count() == 3
    page.locator("#claim-tools input").fill("fewer")
    assert page.locator(".claim:visible").count() == 1
    assert page.locator("#claim-tools output").inner_text() == "1 of 4 claims"


def test_without_claims_there_is_no_section(tmp_path: Path, opened):
    page = opened(write_page(synthetic.write_usual(tmp_path / "results", seeds=1), tmp_path / "page"))
    assert page.locator("#claims").count() == 0


@pytest.mark.parametrize(
    ("relation", "margin", "zone"),
    [("higher", 0.01, (1, math.inf)), ("at least", 0.01, (-1, math.inf)), ("lower", 0.01, (-math.inf, -1)),
     ("at most", 0.01, (-math.inf, 1)), ("equal", 0.02, (-2, 2))],
)  # fmt: skip
def test_the_shaded_part_is_where_the_claim_holds(relation: Any, margin: float, zone: tuple[float, float]):
    claim = Claim("C.", "hu2022lora", "score", "full", relation, margin=margin)
    verdict = claims.Verdict("a", "a", "b", claim, "inconclusive", effect=0.0, low=-1.0, high=1.0)
    assert claimed_zone(verdict) == pytest.approx(zone)


def test_the_shaded_part_of_a_ratio_has_its_factor():
    claim = Claim("C.", "hu2022lora", "step_seconds", "full", "at most", margin=0.25, factor=0.5)
    verdict = claims.Verdict("a", "a", "b", claim, "inconclusive", effect=1.0, low=0.9, high=1.1, unit="ratio")
    assert claimed_zone(verdict) == pytest.approx((0, 0.625))
