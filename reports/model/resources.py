"""The files of the folder `templates`."""

from __future__ import annotations

from pathlib import Path

# Beside this package: importlib.resources cannot open a namespace package of an editable install.
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


class TemplateError(Exception):
    """A template cannot be used; the message is one line."""


def resource(name: str) -> str:
    """The text of one of our own."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
