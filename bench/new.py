"""`bench new`: a plugin of one's own, as a package that works and is tested from the first."""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shlex
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from bench.folders import UsageError, path_of, usable_folder

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
KINDS = ("method", "task")
LONGEST_NAME = 40


def add_command(commands: Any) -> None:
    """To the parser of the command line."""
    new = commands.add_parser("new", help="write a plugin package to start from: a method or a task of your own")
    new.add_argument("kind", choices=KINDS, help="which of them")
    new.add_argument("name", help="as suites will have it: small letters, digits and underscores")
    new.add_argument("folder", nargs="?", type=path_of, help="where to write (default: adaptbench-<name>)")
    new.set_defaults(command=_new)


def _new(arguments: argparse.Namespace) -> int:
    kind, name = arguments.kind, arguments.name
    _check_name(kind, name)
    distribution = f"adaptbench-{name.replace('_', '-')}"
    folder = usable_folder(arguments.folder or Path(distribution), write=True)
    if os.path.lexists(folder):
        raise UsageError(f"{folder}: is there already; name a folder that is not")
    for file in write(folder, kind, name, distribution):
        print(folder / file)
    print(f"next: pip install --editable {shlex.quote(str(folder))} && bench check {name}")
    return 0


def _check_name(kind: str, name: str) -> None:
    from bench.registry import Registry

    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name.endswith("_") or len(name) > LONGEST_NAME:
        what = f"takes up to {LONGEST_NAME} small letters, digits and underscores, a letter first, as in scale_only"
        raise UsageError(f"{name!r}: {what}")
    if keyword.iskeyword(name):
        raise UsageError(f"{name!r}: is a word of Python; give it another name")
    registry = Registry()
    if name in registry.names("methods" if kind == "method" else "tasks"):
        raise UsageError(f"{name!r}: another {kind} is already called so; give it another name")
    if name in registry.libraries("methods"):
        raise UsageError(f"{name!r}: is a library whose methods are offered; give it another name")


def write(folder: Path, kind: str, name: str, distribution: str) -> list[str]:
    """Into a folder that is not there yet: the whole of it, or nothing. Returns the files' names. Raises OSError."""
    import jinja2

    module = f"adaptbench_{name}"
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{name}.py": f"test_{kind}.py",
        "suite.yaml": "suite.yaml",
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "plugin"), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    words = name.split("_")
    holes = {
        "kind": kind, "name": name, "distribution": distribution, "module": module,
        "cls": "".join(word.capitalize() for word in words), "title": " ".join(words).capitalize(),
        "year": date.today().year, "key": f"you{date.today().year}{name.replace('_', '')}",
    }  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        whole = Path(temporary) / "whole"
        for file, template in files.items():
            (whole / file).parent.mkdir(parents=True, exist_ok=True)
            text = environment.get_template(f"{template}.jinja").render(holes)
            (whole / file).write_text(text, encoding="utf-8")
        whole.rename(folder)
    return list(files)
