"""Code of the documents: fenced blocks, with the remark before them that says why they are not run, and commands
between backticks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# `text` is what no computer reads: a diagram, or what a command prints.
LANGUAGES = ("sh", "yaml", "python", "toml", "latex", "bibtex", "json", "text")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"<!-- run: no, (.+) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """`why_not` is the reason that the document gives for not running it, None where it is run."""

    place: str
    language: str
    text: str
    why_not: str | None

    @property
    def commands(self) -> list[list[str]]:
        """Of a block of shell, the words of each command."""
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = (part for line in lines for part in re.split(r"\s&&\s", line))
        return [words for part in parts if (words := shlex.split(part, comments=True))]


def blocks(text: str, name: str) -> Iterator[Block]:
    """Those of a document, in order; the place is its name and their number in it."""
    for number, found in enumerate(_FENCE.finditer(text), 1):
        remark = _REMARK.search(text[: found.start()])
        indent = found["indent"]
        lines = [line.removeprefix(indent) for line in found["text"].splitlines()]
        yield Block(f"{name}-{number}", found["language"].strip(), "\n".join(lines) + "\n", remark and remark[1])


def of_documents() -> list[Block]:
    """Of all documents that are written by hand."""
    return [
        block
        for path in DOCUMENTS
        for block in blocks(path.read_text("utf-8"), path.relative_to(ROOT).with_suffix("").as_posix())
    ]


def python_pages(beside_results: bool) -> dict[str, list[Block]]:
    """The blocks of Python that are run, by their page: of pages that speak of results, or of the others. Those of a
    page are one program."""
    pages: dict[str, list[Block]] = {}
    for block in of_documents():
        if block.language == "python" and block.why_not is None:
            pages.setdefault(block.place.rpartition("-")[0], []).append(block)
    speaks = re.compile(r'CELL|results/|"quick"')
    return {
        name: found
        for name, found in pages.items()
        if beside_results == any(speaks.search(block.text) for block in found)
    }


def run_python(page: list[Block], cell: str = "") -> dict[str, object]:
    """Runs the blocks of a page one after the other, where it stands; returns the names that they have made."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in page:
        # A tiny suite has a task of its own.
        text = block.text.replace("CELL", cell).replace("rotten_tomatoes", "colours")
        exec(compile(text, block.place, "exec", dont_inherit=True), names)
    return names


def inline_commands(text: str) -> list[list[str]]:
    """What stands between backticks and begins with `bench`, without blocks."""
    prose = " ".join(_FENCE.sub("", text).split())
    found = re.findall(r"`(bench(?: [^`]+)?)`", prose)
    return [shlex.split(re.sub(r"<[^>]*>", "X", each)) for each in found]
