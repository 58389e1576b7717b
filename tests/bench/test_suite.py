"""Suites: what they expand to, and what a wrong one is answered."""

from __future__ import annotations

import pytest
import yaml

from bench.suite import Suite, SuiteError


def test_axes_are_crossed_with_seeds_outermost(write_suite):
    path = write_suite(methods={"full": {}, "head": None, "head@fast": {"lr": 0.1}}, seeds=[3, 1])
    cells = list(Suite.load(str(path)).cells.values())
    assert [(cell.seed, cell.label, cell.method) for cell in cells] == [
        (3, "full", "full"), (3, "head", "head"), (3, "head@fast", "head"),
        (1, "full", "full"), (1, "head", "head"), (1, "head@fast", "head"),
    ]  # fmt: skip
    assert cells[2].hyperparameters["lr"] == 0.1


def test_a_task_may_have_budget_values_of_its_own(write_suite):
    path = write_suite(tasks={"colours": {"epochs": 7}})
    (cell, *_) = Suite.load(str(path)).cells.values()
    assert (cell.budget.epochs, cell.budget.batch_size) == (7, 8)


def test_numbers_may_be_written_with_an_exponent(write_suite, tmp_path):
    path = write_suite()
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 1e-3"))
    cell = next(iter(Suite.load(str(path)).cells.values()))
    assert cell.hyperparameters["lr"] == 1e-3


def test_built_in_suites_are_valid():
    """Those that need the hub are tried against one in tests/hub/test_hub_suites.py."""
    from bench.suite import BUILT_IN, built_in

    assert {"quick", "embedded", "embedded-large"} <= set(built_in())
    for name in built_in():
        if all(
            spec.startswith("embedded:")
            for spec in yaml.safe_load((BUILT_IN / f"{name}.yaml").read_text())["backbones"]
        ):
            assert Suite.load(name).cells


def test_the_default_suite_crosses_nine_methods_two_tasks_and_three_seeds():
    suite = Suite.load("embedded")
    assert len(suite.cells) == 9 * 2 * 3
    assert {"rotten_tomatoes", "bbc_news"} == set(suite.tasks)


def test_a_source_task_is_part_of_the_identity(write_suite):
    """A method that learns on another task first gives another result when that task changes."""
    (cell,) = Suite.load(str(write_suite(methods={"spot": {"source": "imdb"}}, seeds=[0]))).cells.values()
    assert cell.sources.keys() == {"imdb"}
    assert cell.model_copy(update={"sources": {"imdb": "other"}}).id != cell.id


WRONG = {
    "unknown key": ({"budgets": {}}, "budgets", "did you mean 'budget'?"),
    "unknown method": ({"methods": ["full", "loar"]}, "methods", "did you mean 'lora'?"),
    "unknown task": ({"tasks": ["colors"]}, "tasks", "did you mean 'colours'?"),
    "unknown backbone": ({"backbones": ["embedded:minilm-16"]}, "minilm-16", "did you mean 'embedded:minilm-l6'?"),
    "unknown hyperparameter": ({"methods": {"lora": {"rnak": 4}}}, "rnak", "did you mean 'rank'?"),
    "hyperparameter out of range": ({"methods": {"lora": {"rank": 0}}}, "rank", "greater than or equal to 1"),
    "rank above the dimension": ({"methods": {"lora": {"rank": 999}}}, "lora", "it takes 1 to "),
    "density out of range": ({"methods": {"fish_mask": {"density": 1.5}}}, "density", "less than or equal to 1"),
    "unknown target": ({"methods": {"lora": {"targets": ["quer"]}}}, "quer", "'query', 'key', 'value'"),
    "a bottleneck that does not divide": ({"methods": {"compacter": {"divisions": 7}}}, "compacter", "divi"),
    "unknown source task": ({"methods": {"spot": {"source": "imbd"}}}, "spot", "did you mean 'imdb'?"),
    "unknown budget value": ({"budget": {"epoch": 4}}, "epoch", "did you mean 'epochs'?"),
    "unknown budget value of a task": ({"tasks": {"colours": {"epoch": 4}}}, "epoch:", "did you mean 'epochs'?"),
    "budget value out of range": ({"budget": {"epochs": 0}}, "epochs", "greater than or equal to 1"),
    "no seeds": ({"seeds": []}, "seeds", "at least 1"),
    "a seed twice": ({"seeds": [1, 1]}, "seeds", "twice"),
    "a task twice": ({"tasks": ["colours", "colours"]}, "tasks", "named twice"),
    "not a number": ({"methods": {"full": {"lr": "fast"}}}, "lr", "valid number"),
    "the same configuration twice": ({"methods": {"full": {}, "full@again": {}}}, "full@again", "same configuration"),
    "a plugin that is not there": ({"plugins": ["nowhere.py"]}, "nowhere.py", "no such plugin file"),
    "precision": ({"precision": "fp8"}, "precision", "'auto', 'bf16' or 'no'"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_names_file_line_and_remedy(write_suite, fault):
    keys, word, remedy = WRONG[fault]
    path = write_suite(**keys)
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    lines = path.read_text().splitlines()
    message = str(caught.value)
    assert "\n" not in message
    assert remedy in message
    file, number, _ = message.split(":", 2)
    assert file == str(path)
    # The line that is named is the faulty entry, or opens it.
    assert any(word.rstrip(":") in line for line in lines[int(number) - 1 : int(number) + 1])


def test_every_fault_is_told_at_once(write_suite):
    path = write_suite(methods={"loar": {}, "lora": {"rank": -1}}, tasks=["colors"])
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [0]\nseeds: [1]\n", ":2: 'seeds' is here a second time (first in line 1)"),
        ("seeds: [0\n", ": not valid YAML"),
        ("", "a suite is a mapping"),
        ("- full\n", "a suite is a mapping"),
        ("seeds: [0]\n", "the key 'backbones' is missing"),
    ],
)
def test_a_file_that_is_no_suite(tmp_path, text, message):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_one_line_and_its_columns_are_no_mistake(write_suite):
    path = write_suite(tasks={"files:none.csv": {"text": "review", "label": "stars"}})
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    (line,) = str(caught.value).splitlines()
    assert "none.csv: no such file or folder" in line


def test_an_unknown_suite_suggests_the_nearest():
    with pytest.raises(SuiteError, match="did you mean 'quick'"):
        Suite.load("quikc")
