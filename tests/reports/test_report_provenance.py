"""Where results were made, where training and profiling took place on different machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.analysis.analysis import analyse
from reports.model.environments import environment_pairs
from reports.model.prose import OURS
from reports.results import Results, read
from reports.sections import limitations, setup
from tests.reports import synthetic_results as synthetic

ELSEWHERE = {"device": "NVIDIA H100", "threads": 16, "commit": "0123456789abcdef", "dirty": True}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    cells = synthetic.grid(["full", "lora"], ["rotten_tomatoes"])
    records = [synthetic.record(cell).model_copy(update={"profiled": ELSEWHERE}) for cell in cells]
    return read(synthetic.write(tmp_path_factory.mktemp("provenance") / "results", cells, records))


def text_of(paragraphs: Any, heading: str) -> str:
    [found] = [p for p in paragraphs if getattr(p, "heading", None) == heading]
    return "".join(piece if isinstance(piece, str) else getattr(piece, "text", "") for piece in found.text)


def test_the_setup_tells_training_from_profiling(results: Results):
    said = text_of(setup.part(analyse(results), OURS).section.blocks, "Machine and software.")
    assert "2 cores (threads: 2 for training a cell and 16 for profiling it)" in said
    assert "Code: commit 566e2b7c0ffe. Costs were profiled later, by commit 0123456789ab." in said


def test_doubts_about_time_are_about_the_machine_that_was_timed(results: Results):
    made = limitations.part(analyse(results), OURS).section.blocks
    assert text_of(made, "Timing.").startswith("Time was measured on NVIDIA H100.")
    assert "local changes" in text_of(made, "Code.")


def test_the_table_of_the_environment_has_both(results: Results):
    [(environment, ids)] = results.environments()
    assert set(ids) == set(results.records)
    pairs = dict(environment_pairs(environment))
    assert (pairs["device"], pairs["device, when profiled"]) == ("cpu", "NVIDIA H100")
    assert (pairs["threads"], pairs["threads, when profiled"]) == ("2", "16")
    assert pairs["commit, when profiled"] == "0123456789abcdef with local changes"


def test_a_record_without_it_is_as_before(tmp_path: Path):
    cells = synthetic.grid(["lora"], ["rotten_tomatoes"])
    plain = read(synthetic.write(tmp_path / "results", cells, [synthetic.record(cell) for cell in cells]))
    said = text_of(setup.part(analyse(plain), OURS).section.blocks, "Machine and software.")
    assert "2 cores (threads: 2 for training a cell)" in said
    assert "profiled later" not in said
