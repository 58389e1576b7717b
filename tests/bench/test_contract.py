"""Data that is not as a task promises is refused in one line for its author, with split, row and column."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from bench.contract import DataError
from bench.tokenising import _checked
from tasks.base import Card, Task
from tasks.mixture import MixtureTask

GOOD: dict[str, dict[str, list]] = {
    "classification": {"text": ["a", "b"], "text_pair": ["c", "d"], "label": [0, 1]},
    "regression": {"text": ["a", "b"], "label": [0.5, -1.0]},
    "tagging": {"words": [["a", "b"], ["c"]], "label": [[0, 1], [1]]},
    "multiple choice": {"text": ["a", "b"], "choices": [["x", "y", "z"], ["x", "y"]], "label": [2, 1]},
    "extractive QA": {"text": ["a", "b"], "text_pair": ["c", "d"], "answers": [["c"], []], "starts": [[0], []]},
    "generation": {"text": ["a", "b"], "targets": [["x"], ["y", "z"]]},
    "language modelling": {"text": ["a", "b"]},
}


class Given(Task):
    """A task with the training rows that a test gives it; the other splits are good, and have texts of their own."""

    def __init__(self, kind: Any, train: Any) -> None:
        super().__init__()
        self.train = train if isinstance(train, Dataset) else Dataset.from_dict(train)
        self.card = Card("given", "", kind, ("accuracy",), "", "", "", "", "", labels=("no", "yes"))

    def load(self) -> DatasetDict:
        splits = {"train": self.train}
        for split in ("validation", "test"):
            rows = dict(GOOD[self.card.kind])
            if "text" in rows:
                rows["text"] = [f"{text} {split}" for text in rows["text"]]
            else:
                rows["words"] = [[f"{word} {split}" for word in words] for words in rows["words"]]
            splits[split] = Dataset.from_dict(rows)
        return DatasetDict(splits)

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"accuracy": 0.0}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_as_promised(kind: str):
    data, removed = _checked(Given(kind, GOOD[kind]))
    assert (len(data["train"]), removed) == (2, 0)


def test_whole_numbers_to_predict_and_named_labels(tmp_path):
    _checked(Given("regression", {"text": ["a", "b"], "label": [1, 2]}))
    features = Features({"text": Value("large_string"), "label": ClassLabel(names=["no", "yes"])})
    _checked(Given("classification", Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)))


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("classification", {"label": [0, None]}, "load()['train'][1]['label'] is None; a number has to be there"),
        ("classification", {"label": [0, -1]}, "load()['train'][1]['label'] is -1; the card has 2 labels"),
        ("classification", {"label": [0, 2]}, "load()['train'][1]['label'] is 2; the card has 2 labels"),
        ("classification", {"label": [0.0, 1.0]}, "load()['train']: the column 'label' holds double"),
        ("classification", {"label": [True, False]}, "load()['train']: the column 'label' holds bool"),
        ("classification", {"label": ["no", "yes"]}, "load()['train']: the column 'label' holds string"),
        ("classification", {"text": ["a", None]}, "load()['train'][1]['text'] is None; a text has to be there"),
        ("classification", {"text": [1, 2]}, "load()['train']: the column 'text' holds int64"),
        ("classification", {"text": [["a"], ["b"]]}, "load()['train']: the column 'text' holds list"),
        ("classification", {"text_pair": [None, None]}, "load()['train']: the column 'text_pair' holds null"),
        ("regression", {"label": [1.0, float("nan")]}, "load()['train'][1]['label'] is nan; a finite number"),
        ("regression", {"label": [float("inf"), 1.0]}, "load()['train'][0]['label'] is inf; a finite number"),
        ("regression", {"label": [None, 1.0]}, "load()['train'][0]['label'] is None; a finite number"),
        ("regression", {"label": ["1", "2"]}, "load()['train']: the column 'label' holds string"),
        ("tagging", {"words": ["a b", "c"]}, "load()['train']: the column 'words' holds string"),
        ("tagging", {"words": [["a", "b"], [None]]}, "load()['train'][1]['words'] is [None]; nothing in it"),
        ("tagging", {"label": [[0, 1], [1, 0]]}, "load()['train'][1]['label'] is [1, 0]; its length has to be that of"),
        ("tagging", {"label": [[0, 1], [2]]}, "load()['train'][1]['label'] is [2]; the card has 2 labels"),
        ("tagging", {"label": [["O", "B"], ["O"]]}, "load()['train']: the column 'label' holds list<"),
        ("multiple choice", {"choices": [["x", "y", "z"], []]}, "[1]['choices'] is []; one is needed"),
        ("multiple choice", {"choices": [["x", "y", "z"], None]}, "[1]['choices'] is None; a list has to be there"),
        ("multiple choice", {"label": [2, 2]}, "[1]['label'] is 2; it has to be an index into the row's choices"),
        ("multiple choice", {"label": [-1, 0]}, "[0]['label'] is -1; it has to be an index into the row's choices"),
        ("extractive QA", {"starts": [[0, 1], []]}, "[0]['starts'] is [0, 1]; its length has to be that of 'answers'"),
        ("extractive QA", {"answers": ["c", "d"]}, "the column 'answers' holds string; it has to hold lists of texts"),
        ("generation", {"targets": ["x", "y"]}, "the column 'targets' holds string; it has to hold lists of texts"),
        ("generation", {"targets": [["x"], []]}, "[1]['targets'] is []; one is needed at least"),
        ("language modelling", {"text": ["a", None]}, "load()['train'][1]['text'] is None"),
    ],
)
def test_what_is_not(kind: str, change: dict, expected: str):
    with pytest.raises(DataError) as caught:
        _checked(Given(kind, GOOD[kind] | change))
    assert str(caught.value).startswith("task given: ") and expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_are_counted_as_they_are_selected():
    rows = Dataset.from_dict({"text": list("abcde"), "label": [0, 0, 7, 0, 1]}).select([4, 3, 2])
    with pytest.raises(DataError, match=r"\[2\]\['label'\] is 7"):
        _checked(Given("classification", rows))


def test_a_member_of_a_mixture():
    class Mixed(MixtureTask):
        card = Card("mixed", "", "mixture", ("average",), "", "", "", "", "")
        tasks = (
            Given("classification", GOOD["classification"]),
            Given("multiple choice", GOOD["multiple choice"] | {"text": ["c", "d"], "label": [0, 9]}),
        )

    Mixed.tasks[1].card = replace(Mixed.tasks[1].card, name="other")
    with pytest.raises(DataError, match=r"load\(\)\['train'\], other\[\d\]\['label'\] is 9; it has to be an index"):
        _checked(Mixed())


def test_an_authors_format_changes_nothing():
    """NumPy writes long lists with dots in the middle, in which these look the same."""

    def split(word: str) -> Dataset:
        words = ["w"] * 2000
        words[1000] = word
        return Dataset.from_dict({"words": [words], "label": [[0] * 2000]}).with_format("numpy")

    task = Given("tagging", GOOD["tagging"])
    data = DatasetDict(train=split("a"), validation=split("b"), test=split("c"))
    task.load = lambda: data  # type: ignore[method-assign]
    assert _checked(task)[1] == 0


def test_words_are_not_joined_to_compare_them():
    task = Given("tagging", GOOD["tagging"])
    words = {"train": ["a", "b c"], "validation": ["a b", "c"], "test": ["a", "b", "c"]}
    data = {split: Dataset.from_dict({"words": [row], "label": [[0] * len(row)]}) for split, row in words.items()}
    task.load = lambda: DatasetDict(data)  # type: ignore[method-assign]
    assert _checked(task)[1] == 0


@pytest.mark.parametrize("given", [None, {"train": [1], "validation": [1], "test": [1]}])
def test_what_is_no_data_set(given: Any):
    task = Given("classification", GOOD["classification"])
    task.load = lambda: given  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"it has to (give a DatasetDict|be a Dataset)"):
        _checked(task)


def test_a_split_that_later_ones_hold_whole():
    rows = {"text": ["a test", "b test"], "text_pair": ["c", "d"], "label": [0, 1]}
    with pytest.raises(DataError, match="every example of 'train' stands in a later split too; none is left"):
        _checked(Given("classification", rows))
