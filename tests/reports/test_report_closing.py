"""The conclusion's sentences, from scores and verdicts written down here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from records.cards import Claim
from reports.analysis.analysis import analyse
from reports.analysis.claims import OUTCOMES, Outcome, Verdict
from reports.model.prose import join, plain
from reports.model.topics import chosen
from reports.results import Results, read
from reports.sections import conclusion
from tests.reports import synthetic_results as synthetic

CLAIM = Claim("C.", "hu2022lora", "score", "full", "higher")
TEST = {"full": 0.90, "lora": 0.85, "bitfit": 0.80}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Full fine-tuning scores highest, on validation data as on test data."""
    cells = synthetic.grid(TEST, ["rotten_tomatoes"])
    records = []
    for cell in cells:
        made = synthetic.record(cell, score=TEST[cell.method])
        records.append(made.model_copy(update={"validation": {"accuracy": TEST[cell.method]}}))
    return read(synthetic.write(tmp_path_factory.mktemp("closing") / "results", cells, records))


def concluded(results: Results, topic: str, outcomes: tuple[Outcome, ...] = ()) -> str:
    verdicts = [Verdict("lora", "lora", "b", CLAIM, o) for o in outcomes]
    analysis = replace(analyse(results, chosen(topic)), contrasts=(), verdicts=tuple(verdicts))
    return plain(join(conclusion.conclusions(analysis)))


def test_the_highest_but_full_fine_tuning_is_not_called_the_highest(results: Results):
    said = concluded(results, "all")
    assert "besides full fine-tuning with the highest mean validation score is lora" in said
    assert "mean test score is 85.0 points (90.0 for full fine-tuning)" in said


def test_a_family_is_told_by_its_own_best(results: Results):
    assert "bitfit, the only configuration of this family, has a mean test score of 80.0" in concluded(
        results, "sparse"
    )


def test_verdicts_are_counted(results: Results):
    said = concluded(results, "all", (*OUTCOMES, "supported"))
    assert "Of five claims of the papers one came out contradicted, two came out supported, one came out" in said
    assert "inconclusive and one could not be tested here." in said
    none = concluded(results, "all", ("not testable here",) * 3)
    assert "Of three claims of the papers none could be tested here." in none
