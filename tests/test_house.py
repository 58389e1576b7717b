"""What keeps the house in order, and no linter sees."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import bench
from tests import house_map

ROOT = Path(__file__).resolve().parent.parent
PLACES = (*house_map.ROOMS, "docs", "templates", "tests")

# About 400, and about 60.
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 420, 63


def test_files_and_functions_are_short():
    files = [path for place in PLACES for path in sorted((ROOT / place).rglob("*")) if path.suffix in (".py", ".js")]
    assert len(files) > 100
    found = {name for path in files for name in _too_long(path.relative_to(ROOT).as_posix(), path.read_text())}
    assert not found


def test_what_is_too_long_is_named():
    long = "def long():\n" + "    pass\n" * LINES_OF_A_FUNCTION
    assert list(_too_long("a.py", long)) == ["a.py: long"]
    assert list(_too_long("a.py", "\n" * (LINES_OF_A_FILE + 1))) == ["a.py"]
    assert not list(_too_long("a.py", long.removesuffix("    pass\n")))


def _too_long(name: str, text: str) -> Iterator[str]:
    if text.count("\n") > LINES_OF_A_FILE:
        yield name
    for node in ast.walk(ast.parse(text)) if name.endswith(".py") else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= LINES_OF_A_FUNCTION:
                yield f"{name}: {node.name}"


@pytest.mark.parametrize("room", house_map.ROOMS)
def test_public_classes_and_methods_have_a_docstring_or_inherit_one(room: str):
    package = importlib.import_module(room)
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, f"{room}.")]
    assert not [name for module in modules if not module.endswith("__main__") for name in _undocumented(module)]


def _undocumented(module: str) -> Iterator[str]:
    for cls in vars(importlib.import_module(module)).values():
        if not inspect.isclass(cls) or cls.__module__ != module or cls.__name__.startswith("_"):
            continue
        if not inspect.getdoc(cls):
            yield f"{module}.{cls.__name__}"
        for name, member in vars(cls).items():
            code = inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
            if code and not name.startswith("_") and not inspect.getdoc(getattr(cls, name)):
                yield f"{module}.{cls.__name__}.{name}"


def test_the_map_is_drawn_of_the_house_as_it_is():
    assert house_map.MAP.read_text(encoding="utf-8") == house_map.draw(), "`make map` draws it anew"


def test_the_version_is_written_once_and_said_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.search(r"^## \[([\d.]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["project"]["dynamic"] == ["version"] and "version" not in project["project"]
    assert released is not None
    assert citation["version"] == released[1] == bench.__version__
    assert str(citation["date-released"]) == released[2]


def test_links_of_the_documents_lead_somewhere():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    links = [
        (path, link)
        for path in documents
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
        if not re.match(r"https?:|mailto:", link)
    ]
    assert len(links) > 20
    assert not [f"{path.relative_to(ROOT)}: {link}" for path, link in links if not (path.parent / link).exists()]


def test_make_help_names_every_target_that_the_documents_name():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    command = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)
    named = {name for path in documents for name in command.findall(path.read_text(encoding="utf-8"))}
    assert {"bench", "test", "check"} <= named
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    offered = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert named <= offered
