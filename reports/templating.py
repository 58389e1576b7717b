"""The template folder, wherever the package `templates` is installed."""

from __future__ import annotations

from pathlib import Path

import jinja2

from reports.escape import latex_code, latex_text

# Installed beside this package. importlib.resources cannot open a namespace package of an editable install.
_FOLDER = Path(__file__).resolve().parents[1] / "templates"


def resource(name: str) -> str:
    """The text of a file of the package `templates`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def latex_environment() -> jinja2.Environment:
    """Jinja with delimiters that LaTeX leaves alone: ((( value ))), ((* statement *)), ((# comment #)).

    Nothing is escaped by itself: templates use the filters `tex` and `code`, or print LaTeX made elsewhere.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(resource), autoescape=False, undefined=jinja2.StrictUndefined,
        variable_start_string="(((", variable_end_string=")))", block_start_string="((*",
        block_end_string="*))", comment_start_string="((#", comment_end_string="#))",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"tex": latex_text, "code": latex_code}
    return environment


def html_environment() -> jinja2.Environment:
    """Jinja that escapes every value but Markup."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(resource), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
