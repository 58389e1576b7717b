"""What holds of every built-in task, without loading its data."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest

from tasks.base import Task
from tasks.hub import HubTask, Source

POINTS = {point.name: point for point in metadata.entry_points(group="bench.tasks") if point.value.startswith("tasks.")}
PREDICTIONS = {
    "classification": ([1, 0, 1], [1, 0, 0]),
    "regression": ([1.0, 2.5, 3.0], [1.0, 2.0, 4.0]),
    "tagging": ([[0, 1], [2]], [[0, 1], [0]]),
    "multiple choice": ([1, 0], [1, 1]),
    "extractive QA": (["a", "b"], [["a"], ["c", "b"]]),
    "generation": (["1", "2"], [["1"], ["3"]]),
    "language modelling": ([-3.0], [(2, 8)]),
}


def test_there_are_enough():
    assert len(POINTS) >= 40


@pytest.mark.parametrize("name", POINTS)
def test_a_task(name: str):
    task: Task = POINTS[name].load()()
    card = task.card
    assert card.name == name
    assert set(card.citation.split(",")) == set(re.findall(r"^@\w+\{(.+),$", card.bibtex, re.MULTILINE))
    assert card.size and card.licence and card.split and card.summary
    predictions, references = PREDICTIONS[task.kind]
    assert tuple(task.score(predictions, references)) == card.metrics
    row = {"text": "A text", "text_pair": "a pair", "words": ["A"], "choices": ["x", "y"]}
    if task.kind != "tagging":
        assert "A text" in task.prompt(row) or "a pair" in task.prompt(row)
    if task.kind == "classification":
        assert len(set(task.verbalisers())) == len(card.labels) > 1


@pytest.mark.parametrize("name", POINTS)
def test_data_from_the_hub_is_pinned_in_the_revision(name: str):
    """Of a branch, its name is; `commits` tells what it stood for."""
    cls = POINTS[name].load()
    if issubclass(cls, HubTask):
        for source in cls.sources():
            assert re.fullmatch(r"[0-9a-f]{40}|main|refs/convert/parquet", source.revision)
            assert source.revision[:12] in str(cls.revision)


def test_another_commit_is_another_revision():
    class Moved(POINTS["rte"].load()):
        source = Source("nyu-mll/glue", "0" * 40, "rte", test="validation")

    assert Moved.revision != POINTS["rte"].load().revision


def test_cards_need_neither_torch_nor_datasets():
    """A report's reader, and `bench list`, import all the cards."""
    modules = sorted({point.value.partition(":")[0] for point in POINTS.values()})
    code = (
        f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'datasets', 'transformers'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
