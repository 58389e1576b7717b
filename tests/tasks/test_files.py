"""A user's own data: read as it stands, split by text, or refused in one line that says where."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.tokenising import _checked
from records.cell import Budget, Cell
from tasks.files import FileOptions, get

GOOD = "review,stars\n" + "".join(f'"film {i}, was {"good" if i % 2 else "bad"}",{1 + i % 2}\n' for i in range(60))


def make(folder: Path, name: str, **options):
    cls = get(name, SimpleNamespace(base=folder))
    return cls(cls.Options(**{"text": "review", "label": "stars"} | options))


def texts(task) -> set[str]:
    return {text for rows in task.load().values() for text in rows["text"]}


def test_four_formats_give_the_same_task(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    tasks = [make(tmp_path, name) for name in ("a.csv", "a.jsonl", "a.parquet", "a.xlsx")]
    assert [task.card.labels for task in tasks] == [("1", "2")] * 4
    splits = [{name: (rows["text"][:], rows["label"][:]) for name, rows in task.load().items()} for task in tasks]
    assert splits[0] == splits[1] == splits[2] == splits[3]
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


def test_an_option_that_came_later_leaves_ids_of_cells_as_they_were():
    """What this cell was called before there was `sheet`."""
    options = FileOptions(text="review", label="stars").model_dump(mode="json")
    cell = Cell(
        backbone="embedded:minilm-l6", backbone_revision="0.1.0", method="lora", label="lora", method_revision="1",
        hyperparameters={"rank": 8, "lr": 1e-3}, task="files:a.csv", task_revision="2+0123456789ab", seed=0,
        task_options=options, precision="auto", budget=Budget(),
    )  # fmt: skip
    assert cell.id == "acf63df7a24f"
    named = FileOptions(text="review", label="stars", sheet="Data").model_dump(mode="json")
    assert cell.model_copy(update={"task_options": named}).id != cell.id


def test_numbers_to_predict(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    data = make(tmp_path, "a.csv", kind="regression").load()
    assert set(data["train"]["label"]) == {1.0, 2.0}


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (GOOD, {"text": "reviews"}, r"a\.csv: no column 'reviews'; there are 'review', 'stars'"),
        (GOOD, {"sheet": "Data"}, r"a\.csv: has no sheets; `sheet` is for workbooks"),
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


def lines(*rows: tuple[str, object]) -> str:
    return "review,stars\n" + "".join(f'"{text}",{label}\n' for text, label in rows)


def distinct(count: int, mark: str = "film") -> list[tuple[str, object]]:
    return [(f"{mark} {i}", 1 + i % 2) for i in range(count)]


def used(task) -> tuple[list[int], int]:
    """The sizes of the splits as a cell gets them, and what the engine left out of them."""
    data, removed = _checked(task)
    return [len(data[split]) for split in ("train", "validation", "test")], removed


def sizes(card) -> list[int]:
    return [int(part.replace(",", "")) for part in card.size.split(" / ")]


def test_the_card_of_one_file_says_what_is_used_and_left_out(tmp_path: Path):
    doubled = [(text.upper(), label) for text, label in distinct(7)]
    contradicted = [("film 50", 1), ("film 50 ", 2), ("Film 51", 1)]
    (tmp_path / "a.csv").write_text(lines(*distinct(1300), *doubled, *contradicted))
    task = make(tmp_path, "a.csv")
    # 50 is labelled 1 and doubled as such, until its second label; 51 is labelled 2 before.
    assert task.dropped() == {"duplicates": 7, "contradicting labels": 5}
    assert used(task) == (sizes(task.card), 0)
    assert sum(sizes(task.card)) == 1300 - 2
    assert task.card.split == (
        "1,310 rows in a.csv (CSV separated by commas, UTF-8), split 70/10/20 % by a hash of the text; left out: 7 rows"
        " (duplicates), 5 rows (contradicting labels)."
    )
    assert task.card.summary == "The user's own data: 1 (649), 2 (649)."
    assert "classes: 1 (649), 2 (649)" in task.notes()


def test_the_card_of_a_folder_says_what_is_used_and_left_out(tmp_path: Path):
    test = [*distinct(30, "new"), ("new 0", 1), ("new 1", 1)]
    (tmp_path / "train.csv").write_text(lines(*distinct(400), *[(text.title(), label) for text, label in test[:20]]))
    (tmp_path / "test.csv").write_text(lines(*test))
    task = make(tmp_path, ".")
    counts, removed = used(task)
    assert (counts, removed) == (sizes(task.card), 20)
    assert counts[0] + counts[1] == 400 and counts[2] == 32
    assert task.dropped() == {}
    assert "; validation is a tenth of train, by a hash of the text; left out: 20 rows (in a later split too)." in (
        task.card.split
    )
    notes = [note for note in task.notes() if note.startswith("warning")]
    assert "warning: 1 rows of test are duplicates within it; they are kept, as the folder has them" in notes
    assert "warning: 2 rows of test are contradicting labels within it; they are kept, as the folder has them" in notes
    assert sum("stand in validation or test too" in note for note in notes) == 1


@pytest.mark.parametrize("how", ["link", "copy", "part", "other format"])
def test_training_on_the_test_set_is_said_before_the_run(tmp_path: Path, how: str):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "validation.csv").write_text(lines(*distinct(5, "held")))
    test = tmp_path / ("test.jsonl" if how == "other format" else "test.csv")
    if how == "link":
        test.symlink_to("train.csv")
    elif how == "copy":
        test.write_text(GOOD.upper().replace("REVIEW,STARS", "review,stars"))
    elif how == "part":
        test.write_text("".join(GOOD.splitlines(keepends=True)[:30]))
    else:
        pd.read_csv(tmp_path / "train.csv").to_json(test, orient="records", lines=True)
    if how == "part":
        assert "warning: 29 rows of train stand in validation or test too, and are left out of train" in (
            make(tmp_path, ".").notes()
        )
        return
    with pytest.raises(ValueError, match="every row of train stands in test or validation too"):
        make(tmp_path, ".")


def test_a_validation_set_that_the_test_set_holds(tmp_path: Path):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "dev.csv").write_text(lines(*distinct(5, "new")))
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "New")))
    with pytest.raises(ValueError, match="every row of validation stands in test too"):
        make(tmp_path, ".")


def test_a_class_that_only_the_test_sets_copies_had_in_train(tmp_path: Path):
    (tmp_path / "train.csv").write_text(lines(*distinct(60), ("rare", 3)))
    (tmp_path / "validation.csv").write_text(lines(*distinct(9, "held")))
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "new"), ("Rare", 3)))
    with pytest.raises(ValueError, match="the label '3' occurs in test and not in train"):
        make(tmp_path, ".")


def test_a_class_whose_rows_all_contradict_others_is_none(tmp_path: Path):
    (tmp_path / "a.csv").write_text(lines(*distinct(100), ("film 5", 3), ("film 6", 3)))
    assert make(tmp_path, "a.csv").card.labels == ("1", "2")


def test_a_class_of_which_test_says_otherwise(tmp_path: Path):
    (tmp_path / "train.csv").write_text(lines(*distinct(60), ("new 3", 3)))
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "new")))
    with pytest.raises(ValueError, match="'3' occurs in rows that later splits hold and not in train"):
        make(tmp_path, ".")


def test_a_class_that_is_never_tested(tmp_path: Path):
    (tmp_path / "train.csv").write_text(lines(*distinct(60), *[(f"other {i}", 3) for i in range(20)]))
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "new")))
    assert "warning: test has no rows of '3'" in make(tmp_path, ".").notes()


def test_too_few_to_take_a_validation_set_from(tmp_path: Path):
    (tmp_path / "train.csv").write_text(lines(*distinct(3)))
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "new")))
    with pytest.raises(ValueError, match="3 rows of train are too few to take a tenth"):
        make(tmp_path, ".")


def test_composed_and_decomposed_texts_are_one(tmp_path: Path):
    twin = unicodedata.normalize("NFD", "über größe")
    (tmp_path / "train.csv").write_text(lines(*distinct(60), ("über größe", 1)), encoding="utf-8")
    (tmp_path / "test.csv").write_text(lines(*distinct(9, "new"), (twin, 1)), encoding="utf-8")
    assert used(make(tmp_path, "."))[1] == 1


def test_a_class_is_one_across_the_files_of_a_folder(tmp_path: Path):
    (tmp_path / "train.csv").write_text(lines(*distinct(60)))
    pd.DataFrame({"review": ["new", "newer"], "stars": [1.0, 2.0]}).to_parquet(tmp_path / "test.parquet")
    task = make(tmp_path, ".")
    assert task.card.labels == ("1", "2")
    assert task.load()["test"]["label"][:] == [0, 1]


@pytest.mark.parametrize("second", ["train.jsonl", "Train.CSV", "train.csv.gz"])
def test_two_files_of_one_split(tmp_path: Path, second: str):
    for name in ("train.csv", "test.csv", second):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(ValueError, match=r"holds both .* and .*; take one of them out"):
        make(tmp_path, ".")


def test_a_file_is_found_under_the_other_spelling_of_its_umlaut(tmp_path: Path):
    for given, there in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = tmp_path / given
        name = "übung/größe.csv"
        (folder / unicodedata.normalize(there, "übung")).mkdir(parents=True)
        (folder / unicodedata.normalize(there, name)).write_text(GOOD)
        assert make(folder, unicodedata.normalize(given, name)).card.labels == ("1", "2")


def test_what_is_no_readable_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, expected in (
        ("pipe.csv", "is neither a file nor a folder"),
        ("folder.csv", "holds no train.csv"),
        ("~nobody-of-this-name/a.csv", "home directory"),
        (f"{'x' * 300}.csv", "cannot be read: File name too long"),
        ("a\0.csv", r"^'a\\x00\.csv': holds '\\x00'; rename the file"),
        ("a\x1b[31m.csv", r"^'a\\x1b\[31m\.csv': holds"),
    ):
        with pytest.raises(ValueError, match=expected) as caught:
            make(tmp_path, name)
        assert "\n" not in str(caught.value)


def test_a_file_without_permission(tmp_path: Path, monkeypatch):
    (tmp_path / "a.csv").write_text(GOOD)

    def refuse(path: Path) -> bytes:  # root, as whom tests may run, may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        make(tmp_path, "a.csv")


def test_what_is_used_is_what_the_revision_was_taken_of(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    cls = get("a.csv", SimpleNamespace(base=tmp_path))
    (tmp_path / "a.csv").write_text("something else")
    assert len(texts(cls(cls.Options(text="review", label="stars")))) == 60


def test_one_column_for_both(tmp_path: Path):
    (tmp_path / "a.csv").write_text(GOOD)
    with pytest.raises(ValueError, match="are to be different ones"):
        make(tmp_path, "a.csv", label="review")


def test_the_order_of_classes_is_that_of_every_process(tmp_path: Path):
    (tmp_path / "a.csv").write_text(lines(*((f"film {i}", "xyzabc"[i % 6]) for i in range(600))))
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace; from tasks.files import get;"
        "cls = get('a.csv', SimpleNamespace(base=Path(sys.argv[1])));"
        "print(cls(cls.Options(text='review', label='stars')).card.labels)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.stdout.strip() == str(tuple("abcxyz"))
