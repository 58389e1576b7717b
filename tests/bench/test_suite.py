"""Suites: what they expand to, and what a wrong one is answered."""

from __future__ import annotations

import pytest
import yaml

from bench.suite import Suite, SuiteError
from tests.conftest import PLUGINS


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
    assert {"rotten_tomatoes", "bbc_news"} == set(suite.axes.tasks)


def test_a_source_task_is_part_of_the_identity(write_suite):
    """A method that learns on another task first gives another result when that task changes."""
    (cell,) = Suite.load(str(write_suite(methods={"spot": {"source": "imdb"}}, seeds=[0]))).cells.values()
    assert cell.sources.keys() == {"imdb"}
    assert cell.model_copy(update={"sources": {"imdb": "other"}}).id != cell.id


WRONG = {
    "unknown key": ({"budgets": {}}, "budgets", "did you mean 'budget'?"),
    "unknown method": ({"methods": ["full", "loar"]}, "loar", "did you mean 'lora'?"),
    "unknown task": ({"tasks": ["colors"]}, "colors", "did you mean 'colours'?"),
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
    "a key of the suite under budget": ({"budget": {"precision": "no"}}, "precision", "is a key of the suite itself"),
    "a suite's key under a task": ({"tasks": {"colours": {"precision": "no"}}}, "precision", "of the suite itself"),
    "a budget value of the suite": ({"epochs": 3}, "epochs", "'epochs' stands under 'budget'"),
    "a budget value of a method": ({"methods": {"lora": {"epochs": 3}}}, "epochs", "'epochs' stands under 'budget'"),
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


# In a suite's text, what stands there and what is written in its place; then a word of the line that is named, and a
# part of what is said.
ODD_VALUES = {
    "a truth value as seed": ("- 0\n", "- true\n", "true", "true is no number"),
    "a negative seed": ("- 0\n", "- -1\n", "-1", "greater than or equal to 0"),
    "a seed that NumPy refuses": ("- 0\n", "- 4294967296\n", "4294967296", "less than or equal to 4294967295"),
    "a huge seed": ("- 0\n", f"- {10**30}\n", str(10**30), "too large a number"),
    "a seed in quotes": ("- 0\n", "- '8'\n", "'8'", "without quotes"),
    "a seed in base eight": ("- 0\n", "- 010\n", "010", "without the zero in front"),
    "a fraction as seed": ("- 0\n", "- 1.0\n", "1.0", "write 1"),
    "minutes": ("epochs: 2", "epochs: 1:30", "1:30", "valid integer"),
    "underscores": ("epochs: 2", "epochs: 1_0", "1_0", "without quotes and underscores"),
    "an exponent for a whole number": ("train_examples: 64", "train_examples: 1e3", "1e3", "write 1000"),
    "a truth value as rank": ("full:\n    lr: 0.001", "lora:\n    rank: true", "rank: true", "true is no number"),
    "yes as rank": ("full:\n    lr: 0.001", "lora:\n    rank: yes", "rank: yes", "valid integer"),
    "a fraction as rank": ("full:\n    lr: 0.001", "lora:\n    rank: 8.0", "rank: 8.0", "write 8"),
    "a truth value as rate": ("lr: 0.001", "lr: true", "lr: true", "true is no number"),
    "a rate in quotes": ("lr: 0.001", "lr: '0.001'", "'0.001'", "without quotes"),
    "an infinite rate": ("lr: 0.001", "lr: .inf", ".inf", "takes a finite number"),
    "no rate": ("lr: 0.001", "lr: .nan", ".nan", "takes a finite number"),
    "an infinite budget": ("epochs: 2", "max_grad_norm: .inf", ".inf", "takes a finite number"),
    "a budget beyond all": ("epochs: 2", "epochs: 99999999999", "99999999999", "less than or equal to"),
    "yes for a truth value": ("profile: false", "profile: yes", "yes", "write true or false"),
    "a number for a truth value": ("profile: false", "profile: 1", "profile: 1", "write true or false"),
    "a margin in words": ("precision: 'no'", "margin: wide", "margin: wide", "valid number"),
    "a margin of nothing": ("precision: 'no'", "margin: 0", "margin: 0", "greater than 0"),
    "a truth value as margin": ("precision: 'no'", "margin: true", "margin: true", "true is no number"),
    "a date as name": ("tasks:\n- colours\n", "tasks:\n- 2024-01-01\n", "- 2024-01-01", "unknown task '2024-01-01'"),
    "a number as name": ("tasks:\n- colours\n", "tasks:\n- 8\n", "tasks", "8 is no name"),
    "no as name": ("tasks:\n- colours\n", "tasks:\n- no\n", "- no", "unknown task 'no'"),
    "a line break in a label": ("  full:", '  "full@r\\n64":', "full@r", "U+000A"),
    "terminal codes in a label": ("  full:", '  "full@\\e[2J":', "full@", "U+001B"),
    "what cannot be seen in a label": ("  full:", '  "full@a\\u200b":', "full@a", "U+200B"),
    "half a character": ("  full:", '  "full@\\ud800":', "full@", "U+D800"),
    "terminal codes in a note": ("precision: 'no'", 'notes: "\\e[2J"', "notes", "U+001B"),
    "terminal codes in an option": ("lr: 0.001", 'lr: "\\e[2J"', "lr: ", "U+001B"),
    "an empty label": ("  full:", "  full@:", "methods", "stands after the @"),
    "labels that differ in case": ("  full:", "  head@R8: {lr: 0.1}\n  head@r8: {lr: 0.2}\n  full:", "methods",
                                   "in case alone"),
    "labels composed otherwise": ("  full:", '  head@ü: {lr: 1}\n  "head@u\\u0308": {lr: 2}\n  full:', "methods",
                                          "could not tell them apart"),
    "a key that is a number": ("precision: 'no'", "8: 9", "8: 9", "the key 8 is no text"),
    "a plugin of nobody": ("plugins:\n- ", "plugins:\n- ~nobody_at_all/", "~nobody_at_all", "home"),
    "a plugin with a null byte": ("plugins:\n- ", 'plugins:\n- "a\\0b"\n- ', "a", "U+0000"),
    "a plugin with too long a name": ("plugins:\n- ", f"plugins:\n- {'x' * 300}.py\n- ", "xxx", "no such plugin file"),
    "a backbone of nobody": ("backbones:\n- ", "backbones:\n- ~nobody_at_all/x\n- ", "~nobody_at_all", "home"),
    "a backbone with too long a name": ("backbones:\n- ", f"backbones:\n- {'x' * 5000}\n- ", "xxx", "too long"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ODD_VALUES)
def test_what_only_looks_like_the_value_is_refused_with_its_line(write_suite, fault):
    old, new, word, remedy = ODD_VALUES[fault]
    path = write_suite()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    (message,) = str(caught.value).splitlines()
    assert remedy in message and message.isprintable()
    file, number, _ = message.split(":", 2)
    assert file == str(path)
    assert word in path.read_text().splitlines()[int(number) - 1]


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_seeds_that_are_taken_are_those_that_the_libraries_take(write_suite, seed):
    from accelerate.utils import set_seed

    (cell, *_) = Suite.load(str(write_suite(seeds=[seed]))).cells.values()
    set_seed(cell.seed)
    for refused in (-1, 2**32):
        with pytest.raises(ValueError, match="Seed must be between"):
            set_seed(refused)


def test_two_spellings_of_one_folder_are_one_backbone(write_suite, tiny_backbone, tmp_path):
    (tmp_path / "link").symlink_to(tiny_backbone)
    for other in (f"{tiny_backbone}/", f"{tiny_backbone.parent}/./{tiny_backbone.name}", "link"):
        with pytest.raises(SuiteError, match="same place as"):
            Suite.load(str(write_suite(backbones=[str(tiny_backbone), other])))
    assert Suite.load(str(write_suite(backbones=[str(tiny_backbone), f"config:{tiny_backbone}"]))).cells


@pytest.mark.parametrize("name", ["my suite", "größe", "a,b;c:{d}", "50%", "$HOME", "it's", "-x", "日本"])
def test_a_suite_may_be_called_anything_that_can_be_printed(write_suite, name):
    assert Suite.load(str(write_suite(name))).name == name


@pytest.mark.parametrize("name", [".", "..", " ", "a\nb", "a\x1b[2J"])
def test_a_suite_is_not_called_what_cannot_be_a_folder_or_a_line(write_suite, name):
    path = write_suite("plain")
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path.rename(path.with_name(f"{name}.yaml"))))
    assert "give it another name" in str(caught.value) and str(caught.value).isprintable()


def test_a_path_that_is_none_is_one_line(tmp_path):
    for given in ("~nobody_at_all/x.yaml", "a\0b", "x" * 5000, str(tmp_path)):
        with pytest.raises(SuiteError) as caught:
            Suite.load(given)
        assert str(caught.value).isprintable()


def test_whatever_a_plugin_raises_while_the_suite_is_read_is_one_line(write_suite, tmp_path):
    (tmp_path / "odd.py").write_text(
        "from pathlib import Path\nimport runpy\n"
        f"Colours = runpy.run_path({str(PLUGINS / 'colours.py')!r})['Colours']\n"
        "class Odd(Colours):\n"
        "    import dataclasses\n"
        "    card = dataclasses.replace(Colours.card, name='odd')\n"
        "    def __init__(self, options=None):\n"
        "        {}['missing']\n"
    )
    path = write_suite(tasks=["odd"], plugins=[str(tmp_path / "odd.py")])
    with pytest.raises(SuiteError, match=r"tasks\.odd: cannot be used: KeyError: 'missing'"):
        Suite.load(str(path))


def test_notes_of_tasks_and_metrics_that_are_only_assumed_are_told(write_suite, tmp_path):
    (tmp_path / "rated.py").write_text(
        (PLUGINS / "colours.py").read_text().replace('metrics=("accuracy", "f1_macro")', 'metrics=("rating",)')
        + "\n    def notes(self):\n        return ['is read as colours']\n"
    )
    notes = Suite.load(str(write_suite(plugins=[str(tmp_path / "rated.py")]))).notes()
    assert notes[0] == "colours: is read as colours"
    assert notes[1].startswith("colours: 'rating' is read as a fraction of which more is better")
    assert Suite.load(str(write_suite())).notes() == []


def test_more_cells_than_anybody_runs_are_refused_before_they_are_made(write_suite):
    with pytest.raises(SuiteError, match="comes to 200,000 cells"):
        Suite.load(str(write_suite(seeds=list(range(40_000)), tasks=[f"t{n}" for n in range(5)], methods=["head"])))


def test_a_margin_is_told_to_reports_and_makes_no_cell_another(write_suite):
    plain, wide = Suite.load(str(write_suite())), Suite.load(str(write_suite(margin=2)))
    assert (plain.resolved()["margin"], wide.resolved()["margin"]) == (1.0, 2.0)
    assert list(plain.cells) == list(wide.cells)
