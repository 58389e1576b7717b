"""Results go to the hub as a data set, by its own library, and come back from there by `datasets`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.server import Hub
from tests.reports import synthetic_results

PUSH = """
import sys
from bench import cli
sys.argv = ["bench", "convert", {results!r}, "--to", "parquet", {folder!r}, "--push-to-hub", {repo!r}]
cli.main()
"""
BACK = """
from datasets import load_dataset
cells = load_dataset({repo!r}, "cells", split="results")
answers = load_dataset({repo!r}, "predictions", split="results")
print("BACK", len(cells), len(answers), cells["score"][0])
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    cells = synthetic_results.grid(("full", "lora"), ("rotten_tomatoes",), seeds=1)
    root = synthetic_results.write(tmp_path / "results", cells, [synthetic_results.record(cells[0], score=0.75)])
    return synthetic_results.keep_answers(root, 20)


def test_results_are_uploaded_as_a_data_set_and_load_from_there(hub: Hub, python, results: Path, tmp_path: Path):
    folder = tmp_path / "tables"
    done = python(PUSH.format(results=str(results), folder=str(folder), repo="somebody/results"))
    assert f"uploaded: {hub.url}/datasets/somebody/results" in done.stdout, done.stdout + done.stderr
    there = hub.path("datasets", "somebody/results")
    assert {path.name for path in folder.iterdir()} <= {path.name for path in there.iterdir()}
    assert 'load_dataset("somebody/results", "cells", split="results")' in (there / "README.md").read_text()
    back = python(BACK.format(repo="somebody/results"))
    assert "BACK 2 20 0.75" in back.stdout, back.stdout + back.stderr


def test_what_the_hub_refuses_is_one_line_and_the_tables_stay(hub: Hub, python, results: Path, tmp_path: Path):
    hub.gated.add("others/theirs")
    folder = tmp_path / "tables"
    done = python(PUSH.format(results=str(results), folder=str(folder), repo="others/theirs"))
    assert done.returncode == 1 and done.stderr.startswith(f"bench: {folder}: was written, and not uploaded to"), done
    assert (folder / "cells.parquet").is_file()
