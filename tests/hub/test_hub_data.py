"""Data sets of the hub by id and the names of their columns, loaded by the genuine code of datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Value

from tests.hub.build import dataset
from tests.hub.server import Hub

# Makes tasks of what a suite would say; a refusal in place of one that cannot be made.
MAKE = """
import json
from bench.registry import PluginError, Registry
from tasks.base import TaskUnavailable
for name, options in json.loads({asked!r}):
    try:
        plugin = Registry().get("tasks", name)
        task = plugin.cls(plugin.cls.Options(**options))
        data = {{split: rows.to_list() for split, rows in task.load().items()}}
        card = task.card
        found = {{"revision": plugin.revision, "labels": card.labels, "title": card.title, "licence": card.licence,
                  "commits": task.commits(), "notes": task.notes(), "data": data, "offline": card.offline}}
    except (PluginError, TaskUnavailable, ValueError) as error:
        found = str(error)
    print("FOUND", json.dumps(found))
"""
REPO = "somebody/reviews"


def made(python, *asked: tuple[str, dict[str, Any]], **environ: str) -> list[Any]:
    done = python(MAKE.format(asked=json.dumps(asked)), **environ)
    lines = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert len(lines) == len(asked), done.stdout + done.stderr
    return lines


def rows(count: int, mark: str = "film") -> dict[str, list]:
    return {"review": [f"{mark} {i}" for i in range(count)], "stars": [i % 2 for i in range(count)],
            "other": [[i] for i in range(count)]}  # fmt: skip


@pytest.fixture
def reviews(hub: Hub) -> Hub:
    """Two configs, one with names for its labels, a hidden test set and a validation set."""
    plain = {"train": rows(200), "test": rows(20, "held")}
    hidden = rows(9, "hidden") | {"stars": [-1] * 9}
    dataset(hub.path("datasets", REPO), {"plain": plain, "named": {"train": rows(60), "validation": rows(9, "held"),
                                                                  "test": hidden}})  # fmt: skip
    return hub


def test_columns_become_a_task_at_a_commit(reviews: Hub, python):
    options = {"text": "review", "label": "stars"}
    named = {"validation": "test", "test": "validation", "labels": ["bad", "good"]}
    plain, other, single = made(
        python,
        (f"hub:{REPO}/plain", options),
        (f"hub:{REPO}/plain@{reviews.sha('datasets', REPO)}", options | {"kind": "regression"}),
        (f"hub:{REPO}/named", options | {"test": "validation", "labels": named["labels"]}),
    )
    sha = reviews.sha("datasets", REPO)
    assert plain["revision"] == other["revision"] == f"1+{sha[:12]}" and plain["commits"] == {REPO: sha}
    assert plain["labels"] == ["0", "1"] and plain["licence"] == "mit" and plain["offline"] is False
    given = rows(200)
    label = dict(zip(given["review"], given["stars"], strict=True))
    used = [*plain["data"]["train"], *plain["data"]["validation"]]
    assert {row["text"]: row["label"] for row in used} == label and len(used) == 200
    assert [row["text"] for row in plain["data"]["test"]] == rows(20, "held")["review"]
    assert {row["label"] for row in other["data"]["train"]} == {0.0, 1.0}
    assert single["labels"] == ["bad", "good"] and single["title"] == "reviews (named)"
    assert {row["text"] for row in single["data"]["test"]} == set(rows(9, "held")["review"])
    assert all(row["label"] == int(row["text"].split()[1]) % 2 for row in single["data"]["test"])


def test_names_of_labels_are_the_data_sets_own_and_one_split_is_divided(hub: Hub, python):
    features = {"text": Value("string"), "label": ClassLabel(names=["sad", "merry"])}
    given = {"text": [f"song {i}" for i in range(300)], "label": [i % 2 for i in range(300)]}
    dataset(hub.path("datasets", "somebody/songs"), {"default": {"train": given}}, features)
    (found,) = made(python, ("hub:somebody/songs", {}))
    assert found["labels"] == ["merry", "sad"]
    sizes = [len(found["data"][split]) for split in ("train", "validation", "test")]
    assert sum(sizes) == 300 and 180 < sizes[0] < 240 and 15 < sizes[1] < 45
    for row in found["data"]["test"]:
        assert found["labels"][row["label"]] == ["sad", "merry"][int(row["text"].split()[1]) % 2]


def test_what_cannot_be_had_is_said_in_one_line_with_what_there_is(reviews: Hub, python):
    options = {"text": "review", "label": "stars"}
    script = reviews.path("datasets", "somebody/code")
    script.mkdir(parents=True)
    (script / "code.py").write_text("raise SystemExit('it ran')")
    (script / "README.md").write_text("# Code\n")
    found = made(
        python,
        ("hub:reviews", {}),
        ("hub:somebody/none", {}),
        (f"hub:{REPO}@v7", options),
        (f"hub:{REPO}", options),
        (f"hub:{REPO}/plane", options),
        (f"hub:{REPO}/plain", options | {"test": "tset"}),
        (f"hub:{REPO}/plain", {"text": "text", "label": "stars"}),
        (f"hub:{REPO}/plain", options | {"label": "other"}),
        (f"hub:{REPO}/plain", options | {"labels": ["bad"]}),
        (f"hub:{REPO}/named", options | {"labels": ["bad", "good"]}),
        (f"hub:{REPO}/named", options | {"validation": "test"}),
        ("hub:somebody/code", {}),
    )
    expected = [
        "hub:reviews: write hub:organisation/name, and after it a config",
        "the hub has no data set somebody/none, or it is private",
        "the data set somebody/reviews has no revision 'v7'",
        f"hub:{REPO}: has several configs; there are plain and named; write hub:{REPO}/plain",
        f"hub:{REPO}/plane: has no config 'plane'; there are plain and named",
        f"hub:{REPO}/plain: has no split 'tset' to be test; there are train, test; write {{test: train}}",
        f"hub:{REPO}/plain train: no column 'text'; there are 'review', 'stars', 'other'",
        f"hub:{REPO}/plain train, row 1: the column 'other' holds a list, [0]",
        f"hub:{REPO}/plain train, row 2: the label 1 is no number of one of 1 labels, which are 'bad'",
        f"hub:{REPO}/named test, row 1: has no label (-1), as hidden test sets have none",
        f"hub:{REPO}/named: train, validation and test are to be different splits",
        "hub:somebody/code: the data set needs code of its own, which is never run",
    ]
    for message, words in zip(found, expected, strict=True):
        assert isinstance(message, str) and message.startswith(words) and "\n" not in message, (message, words)


@pytest.mark.exhaustive
def test_from_the_hub_by_its_columns_to_a_record_and_again_without_the_hub(reviews: Hub, python, tmp_path: Path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        yaml.safe_dump(
            {
                "backbones": ["tiny/bert"], "methods": ["head"], "seeds": [0], "profile": False,
                "tasks": {f"hub:{REPO}/plain": {"text": "review", "label": "stars", "epochs": 1, "max_length": 32}},
            }
        )
    )  # fmt: skip

    def run(results: Path, **environ: str) -> dict[str, Any]:
        words = ["bench", "run", str(suite), "--results", str(results)]
        done = python(f"import sys; sys.argv = {words!r}; from bench.cli import main; sys.exit(main())", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        [record] = [json.loads(path.read_text()) for path in results.glob("cells/*/record.json")]
        return record

    first = run(tmp_path / "first")
    sha = reviews.sha("datasets", REPO)
    assert first["status"] == "trained" and first["data"]["commits"] == {REPO: sha}
    assert first["cell"]["task_revision"] == f"1+{sha[:12]}"
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1", "BENCH_CACHE": str(tmp_path / "empty")}
    again = run(tmp_path / "again", **gone)
    assert (again["id"], again["test"]) == (first["id"], first["test"])
