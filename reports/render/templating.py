"""The template folder, wherever the package `templates` is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reports.model.resources import TEMPLATES, TemplateError
from reports.model.writing import shorten
from reports.render.escape import latex_code, latex_text


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
        """Whether the look is our own."""
        return self.document_class is None and self.package is None


def read_style(path: Path | None) -> Style:
    """A class or style file, or a folder with one, or with templates named as ours (report.tex.jinja, …), or with prose
    in prose/."""
    if path is None:
        return Style()
    if not path.exists():
        raise TemplateError(f"{path}: no such template")
    files = tuple(sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")) if path.is_dir() else (path,)
    if path.is_dir() and (out := next((p for p in path.rglob("*") if not _is_inside(p, path)), None)):
        raise TemplateError(f"{out}: a link that leads out of the template's folder")
    templates = [p for p in files if p.name.endswith(".jinja")]
    rest = tuple(p for p in files if p not in templates)
    classes = [p for p in rest if p.suffix == ".cls"] or [p for p in rest if p.suffix == ".sty"]
    if not templates and not classes and not (path / "prose").is_dir():
        raise TemplateError(
            f"{path}: a template is a .cls or .sty file, or a folder with one, with report.tex.jinja or with prose"
        )
    if not templates and len(classes) > 1 and path.is_dir():
        raise TemplateError(f"{path}: which one? {', '.join(p.name for p in classes)}; name the file itself")
    for one in rest:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", one.name):
            raise TemplateError(f"{one}: LaTeX cannot take a file of this name")
        if one.name in ("report.tex", "slides.tex", "numbers.tex", "checklist.tex", "references.bib", "run.bib"):
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
    environment = _Sandbox(
        loader=jinja2.ChoiceLoader([*own, jinja2.FileSystemLoader(TEMPLATES)]),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        variable_start_string="(((",
        variable_end_string=")))",
        block_start_string="((*",
        block_end_string="*))",
        comment_start_string="((#",
        comment_end_string="#))",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"tex": latex_text, "code": latex_code}
    return environment


def render(
    style: Style, name: str, values: dict[str, Any], functions: dict[str, Callable[..., Any]] | None = None
) -> str:
    """A LaTeX template with these values, and these functions to call. A user's template sees values and nothing behind
    them: it runs no Python, changes nothing, reads no other file. Raises TemplateError, whatever it tries."""
    environment = latex_environment(style)
    assert isinstance(environment, _Sandbox)
    environment.given = tuple((functions or {}).values())
    try:
        return environment.get_template(name).render(values | {"style": style} | (functions or {}))
    except Exception as error:
        if style.folder is None:
            raise
        raise TemplateError(f"{style.folder / name}: the template cannot be used: {shorten(str(error))}") from None


class _Sandbox(ImmutableSandboxedEnvironment):
    """Attributes can be read, but for private ones. What can be called is `given`, what Jinja brings, and what texts
    and lists can do; not what our own objects can, which write files."""

    given: tuple[Callable[..., Any], ...] = ()
    intercepted_binops = frozenset(["*", "**"])

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether a template may call it."""
        owner = getattr(obj, "__self__", None)
        plain = isinstance(owner, (str, list, tuple, dict, int, float))
        jinja = str(getattr(obj, "__module__", None) or type(owner).__module__).startswith("jinja2.")
        return super().is_safe_callable(obj) and (obj in self.given or obj is dict or plain or jinja)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Products and powers of small numbers alone: others could fill the memory."""
        numbers = all(isinstance(value, (int, float)) and abs(value) < 1e6 for value in (left, right))
        if not numbers or (operator == "**" and abs(right) > 100):
            raise SecurityError(f"{operator} of texts, lists or large numbers")
        return super().call_binop(context, operator, left, right)


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def html_environment() -> jinja2.Environment:
    """Jinja that escapes every value but Markup."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
