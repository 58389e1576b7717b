"""Every command and every block of code in README and docs/ is what the program takes; what is not marked runs."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from bench import cli
from bench.suite import Suite
from bench.suite_reader import read_file
from tests.docs.blocks import (
    DOCUMENTS,
    LANGUAGES,
    ROOT,
    Block,
    blocks,
    inline_commands,
    of_documents,
    python_pages,
    run_python,
)
from tests.house_map import ROOMS

BLOCKS = of_documents()
A_SUITE = {"backbones": ["embedded:minilm-l6"], "tasks": ["rotten_tomatoes"], "methods": ["full"], "seeds": [0]}
# Programs that everybody has. Whatever else a block asks for, it is marked.
COMMON = ("make", "bench", "python", "tar")


def of(*languages: str, marked: bool | None = None) -> pytest.MarkDecorator:
    """A test for each block in these languages; of all, of those that are marked, or of those that are not."""
    found = [
        pytest.param(block, id=block.place)
        for block in BLOCKS
        if block.language in languages and marked in (None, block.why_not is not None)
    ]
    return pytest.mark.parametrize("block", found)


def test_blocks_of_every_document_are_found():
    assert {"README-1", "CONTRIBUTING-1", "docs/cluster-1", "docs/records/README-1"} <= {b.place for b in BLOCKS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_fence_is_read_and_says_its_language(path: Path):
    text = path.read_text("utf-8")
    found = list(blocks(text, path.stem))
    assert text.count("```") == 2 * len(found), "a fence that does not close, or is not alone on its line"
    assert not [block.place for block in found if block.language not in LANGUAGES]


@of("text")
def test_what_is_no_code_has_no_command(block: Block):
    assert not re.search(r"^(\$ )?(bench|make|pip|python|git) ", block.text, re.MULTILINE), "mark it as sh"


def test_a_remark_stands_right_before_its_block():
    text = "<!-- run: no, needs Slurm -->\n```sh\nbench list\n```\n\n```sh\nbench list # all\nmake a && make b\n```\n"
    first, second = blocks(text, "a")
    assert (first.why_not, second.why_not) == ("needs Slurm", None)
    assert second.commands == [["bench", "list"], ["make", "a"], ["make", "b"]]


def options_of(command: str) -> set[str]:
    """The options of a command of the command line. Raises KeyError where there is no such command."""
    [commands] = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {option for action in commands.choices[command]._actions for option in action.option_strings}


@of("sh")
def test_the_command_line_takes_the_commands(block: Block, monkeypatch: pytest.MonkeyPatch):
    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        pytest.fail(f"{parser.prog}: {message}")

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    for words in (words for words in block.commands if words[0] == "bench"):
        assert cli._parser().parse_args(words[1:]).command


@of("sh")
def test_make_has_the_targets_and_the_variables(block: Block):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for words in (words for words in block.commands if words[0] == "make"):
        for word in words[1:]:
            name, _, value = word.partition("=")
            known = rf"^{name} \?=" if value else rf"^{name}:.*## "
            assert re.search(known, makefile, re.MULTILINE), f"{' '.join(words)}: no {word}"


@of("sh", marked=False)
def test_what_is_not_marked_is_of_programs_that_run_here(block: Block):
    odd = [words[0] for words in block.commands if words[0] not in COMMON]
    assert not odd, f"{', '.join(odd)}: put <!-- run: no, needs … --> before the block"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_between_backticks_exist_with_their_options(path: Path):
    for words in inline_commands(path.read_text("utf-8")):
        named = [word.partition("=")[0] for word in words if word.startswith("-")]
        if len(words) > 1 and words[1].isidentifier():
            assert not set(named) - options_of(words[1]), " ".join(words)


def written(block: Block, folder: Path) -> Path:
    """A block of YAML as the suite that it says it is, or as part of one that has all else."""
    lacking = {key: value for key, value in A_SUITE.items() if key not in yaml.safe_load(block.text)}
    named = re.match(r"# ([\w.-]+\.yaml)\b", block.text)
    path = folder / (named[1] if named else "suite.yaml")
    path.write_text(block.text + (yaml.safe_dump(lacking) if lacking else ""))
    return path


@of("yaml")
def test_suites_and_their_parts_are_read(block: Block, tmp_path: Path):
    file, budgets = read_file(written(block, tmp_path))
    assert file.seeds and set(budgets) == set(file.tasks)


@of("yaml", marked=False)
def test_suites_name_what_there_is(block: Block, tmp_path: Path):
    (tmp_path / "reviews.csv").write_text("review;stars\n" + "".join(f"text {i};{i % 5}\n" for i in range(100)))
    suite = Suite.load(str(written(block, tmp_path)))
    assert suite.cells and suite.cards().tasks


@of("toml")
def test_toml_is_read(block: Block):
    assert tomllib.loads(block.text)


@of("python")
def test_python_imports_what_there_is(block: Block):
    tree = ast.parse(block.text)
    asked = [
        (node.module or "", name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    asked += [
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    ]
    for module, name in asked:
        if module.partition(".")[0] in ROOMS and importlib.util.find_spec(module):
            found = importlib.import_module(module)
            # A module of a package is an attribute of it once something has imported it.
            of_package = hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{name}")
            assert hasattr(found, name) or of_package, f"{module} has no {name}"


@pytest.mark.parametrize("page", python_pages(beside_results=False).values(), ids=python_pages(beside_results=False))
def test_python_of_a_page_that_speaks_of_no_results_runs(
    page: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert len(run_python(page)) > 2
