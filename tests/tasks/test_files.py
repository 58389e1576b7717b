"""A user's own data: read as it stands, split by text, or refused in one line that says where."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tasks.files import get

GOOD = "review,stars\n" + "".join(f'"film {i}, was {"good" if i % 2 else "bad"}",{1 + i % 2}\n' for i in range(60))


def make(folder: Path, name: str, **options):
    cls = get(name, SimpleNamespace(base=folder))
    return cls(cls.Options(**{"text": "review", "label": "stars"} | options))


def texts(task) -> set[str]:
    return {text for rows in task.load().values() for text in rows["text"]}


def test_three_formats_give_the_same_task(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    tasks = [make(tmp_path, name) for name in ("a.csv", "a.jsonl", "a.parquet")]
    assert [task.card.labels for task in tasks] == [("1", "2")] * 3
    splits = [{name: (rows["text"][:], rows["label"][:]) for name, rows in task.load().items()} for task in tasks]
    assert splits[0] == splits[1] == splits[2]
    assert texts(tasks[0]) == set(frame["review"])
    for name, (found, labels) in splits[0].items():
        assert found, name
        assert all(label == int("good" in text) for text, label in zip(found, labels, strict=True))


def test_a_row_keeps_its_split_when_others_come_and_go(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD.replace("film 7,", "another 7,"))
    first, second = (make(tmp_path, name).load() for name in ("a.csv", "b.csv"))
    for name in first:
        assert set(first[name]["text"]) - {"film 7, was good"} == set(second[name]["text"]) - {"another 7, was good"}


def test_contradicting_rows_are_left_out_and_double_ones_count_once(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD + '"Film 3,  was good",2\n"film 4, was bad",2\n')
    found = texts(make(tmp_path, "a.csv"))
    assert "film 3, was good" in found
    assert "Film 3,  was good" not in found
    assert "film 4, was bad" not in found


def test_a_folder_brings_its_own_splits(tmp_path: Path):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text("review,stars\nnew,1\nnewer,2\n")
    data = make(tmp_path, ".").load()
    assert data["test"]["text"][:] == ["new", "newer"]
    assert set(data["train"]["text"]) | set(data["validation"]["text"]) == texts(make(tmp_path, "train.csv"))
    assert not set(data["train"]["text"]) & set(data["validation"]["text"])


def test_a_changed_file_is_another_task(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    before = get("a.csv", SimpleNamespace(base=tmp_path)).revision
    (tmp_path / "a.csv").write_text(GOOD + "more,1\n")
    assert get("a.csv", SimpleNamespace(base=tmp_path)).revision != before


def test_numbers_to_predict(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    data = make(tmp_path, "a.csv", kind="regression").load()
    assert set(data["train"]["label"]) == {1.0, 2.0}


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (GOOD, {"text": "reviews"}, r"a\.csv: no column 'reviews'; there are 'review', 'stars'"),
        ("review,stars\na,b,c\n", {}, r"a\.csv:2: has 3 fields, the header 2"),
        ("review,stars\n" + "".join(f"r{i},1\n" for i in range(50)), {}, r"single class in train, '1'"),
        ("review,stars\n", {}, r"a\.csv: holds no rows"),
        ("review,stars\na,1\nb,2\n", {}, r"2 different rows are too few to split"),
        (GOOD + "odd,\n", {}, r"a\.csv:62: the column 'stars' is empty"),
        (GOOD + "odd,many\n", {"kind": "regression"}, r"a\.csv:62: 'many' in 'stars' is no number"),
        (GOOD + '"open', {}, r"a\.csv:62: cannot be read: a quotation mark opens"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(tmp_path: Path, content: str, options: dict, expected: str):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=expected) as caught:
        make(tmp_path, "a.csv", **options)
    assert "\n" not in str(caught.value)


def test_a_label_unseen_in_training(tmp_path: Path):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text("review,stars\nnew,5\n")
    with pytest.raises(ValueError, match="label '5' occurs in test and not in train"):
        make(tmp_path, ".")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("none.csv", "no such file or folder"), ("a.txt", r"a\.txt: ends in none of \.csv"), (".", "holds no test")],
)
def test_files_that_are_not_there(tmp_path: Path, name: str, expected: str):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "train.csv").write_text(GOOD)
    with pytest.raises(ValueError, match=expected):
        make(tmp_path, name)


def test_broken_json_names_its_line(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"review": "a", "stars": 1}\n{"review": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: is no JSON"):
        make(tmp_path, "a.jsonl")
