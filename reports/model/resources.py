"""The files of the folder `templates`."""

from __future__ import annotations

import re
from pathlib import Path

# Beside this package: importlib.resources cannot open a namespace package of an editable install.
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


class TemplateError(Exception):
    """A template cannot be used; the message is one line."""


def resource(name: str) -> str:
    """The text of one of our own."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def read_text(path: Path) -> str:
    """Raises TemplateError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TemplateError(f"{path}: is not UTF-8 text") from None


def headings(text: str) -> list[str]:
    """Those of Markdown, in lower case."""
    return [line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")]


FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


def front_matter(text: str) -> dict[str, str]:
    """The `name: value` lines between the first two lines of dashes."""
    found = FRONT_MATTER.match(text)
    pairs = (line.partition(":") for line in (found[1].splitlines() if found else ()))
    return {name.strip(): value.strip() for name, _, value in pairs}
