"""The template folder, wherever the package `templates` is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reports.escape import latex_code, latex_text

# Installed beside this package. importlib.resources cannot open a namespace package of an editable install.
_FOLDER = Path(__file__).resolve().parents[1] / "templates"


def resource(name: str) -> str:
    """The text of a file of the package `templates`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


class TemplateError(Exception):
    """A user's template cannot be used; the message is one line."""


@dataclass(frozen=True)
class Style:
    """Whose look a document has. `document_class` and `package` are names of a user's .cls or .sty; `folder` holds
    templates that take the place of ours of the same name; `files` are copied beside the document."""

    document_class: str | None = None
    package: str | None = None
    own_bibliography: bool = False
    folder: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def ours(self) -> bool:
        return self.document_class is None and self.package is None


def read_style(path: Path | None) -> Style:
    """A class or style file, or a folder with one, or with templates named as ours (report.tex.jinja, …)."""
    if path is None:
        return Style()
    if not path.exists():
        raise TemplateError(f"{path}: no such template")
    files = tuple(sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")) if path.is_dir() else (path,)
    templates = [p for p in files if p.name.endswith(".jinja")]
    rest = tuple(p for p in files if p not in templates)
    classes = [p for p in rest if p.suffix == ".cls"] or [p for p in rest if p.suffix == ".sty"]
    if not templates and not classes:
        raise TemplateError(f"{path}: a template is a .cls or .sty file, or a folder with one or with report.tex.jinja")
    if not templates and len(classes) > 1 and path.is_dir():
        raise TemplateError(f"{path}: which one? {', '.join(p.name for p in classes)}; name the file itself")
    for one in rest:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", one.name):
            raise TemplateError(f"{one}: LaTeX cannot take a file of this name")
        if one.name in ("report.tex", "slides.tex", "numbers.tex", "references.bib", "run.bib"):
            raise TemplateError(
                f"{one}: this name is that of a file of the report; templates are named {one.name}.jinja"
            )
    chosen = None if any(p.name == "report.tex.jinja" for p in templates) or not classes else classes[0]
    return Style(
        document_class=chosen.stem if chosen and chosen.suffix == ".cls" else None,
        package=chosen.stem if chosen and chosen.suffix == ".sty" else None,
        own_bibliography=bool(chosen and "\\bibliographystyle{" in chosen.read_text(errors="replace")),
        folder=path if path.is_dir() else None,
        # A class may bring styles of its own, whose folder the user has named by the file.
        files=rest,
    )


def latex_environment(style: Style = Style()) -> jinja2.Environment:
    """Jinja with delimiters that LaTeX leaves alone: ((( value ))), ((* statement *)), ((# comment #)).

    Nothing is escaped by itself: templates use the filters `tex` and `code`, or print LaTeX made elsewhere.
    """
    own = [jinja2.FileSystemLoader(style.folder)] if style.folder else []
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([*own, jinja2.FunctionLoader(resource)]), autoescape=False,
        undefined=jinja2.StrictUndefined,
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
