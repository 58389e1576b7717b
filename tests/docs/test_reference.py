"""The site's reference: every public name, option and field of it says what it is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from bench import cli
from bench.suite_file import SuiteFile
from docs.site import reference
from docs.site.pages import cell, fields, render
from records.cell import Budget
from tests.docs.blocks import ROOT


def arguments(parser: argparse.ArgumentParser, name: str = "bench") -> Iterator[tuple[str, argparse.Action]]:
    """All of a command line, by the command that takes them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helped = {choice.dest for choice in action._choices_actions if choice.help}
            for below, inner in action.choices.items():
                assert below in helped, f"{name} {below} says not what it does"
                yield from arguments(inner, f"{name} {below}")
        else:
            yield name, action


def test_every_argument_of_the_command_line_has_a_help_text():
    found = list(arguments(cli._parser()))
    assert len(found) > 60
    assert not [f"{name} {action.dest}" for name, action in found if not action.help]


def test_every_command_and_option_is_on_the_page_of_commands():
    page = render("commands.md.jinja", commands=list(reference.commands()))
    for name, action in arguments(cli._parser()):
        if name == "bench":
            continue
        part = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert part, name
        for option in set(action.option_strings) - {"-h", "--help"}:
            assert f"`{option}" in part or f", {option}" in part, f"{name} {option}"


@pytest.mark.parametrize("module", reference.STABLE)
def test_what_others_may_build_on_has_docstrings(module: str):
    doc, names = reference.module(module)
    assert doc and names
    lacking = [name.name for name in names if not name.doc]
    lacking += [f"{name.name}.{member.name}" for name in names for member in name.members if not member.doc]
    assert not lacking


def test_the_python_reference_has_what_is_stable_by_name():
    """docs/stability.md names classes with the file that they are in."""
    text = (ROOT / "docs" / "stability.md").read_text("utf-8").partition("## Not stable")[0]
    rows = re.findall(r"^\| (`[A-Z].*?) \| \[(methods|tasks)/(\w+)\.py\]", text, re.MULTILINE)
    assert len(rows) >= 3
    for named, room, file in rows:
        found = {name.name for name in reference.module(f"{room}.{file}")[1]}
        assert set(re.findall(r"`([A-Z]\w+)`", named)) <= found


@pytest.mark.parametrize("part", reference.parts(SuiteFile), ids=lambda part: part.name)
def test_every_key_of_a_suite_says_what_it_is(part: reference.Part):
    assert not [field.name for field in part.fields if not field.description]


def test_fields_have_the_defaults_and_ranges_that_they_are_held_to():
    by_name = {field.name: field for field in fields(Budget.model_json_schema(), "")}
    assert by_name["warmup"][1:4] == ("number", "`0.06`", "from 0 below 1")
    assert by_name["micro_batch"].default == "none" and by_name["micro_batch"].range.startswith("from 1")
    assert {field.name for field in by_name.values()} == set(Budget.model_fields)


def test_a_cell_of_a_table_is_one_cell():
    assert cell("a | b\nc") == "a \\| b c"
