"""The neutral structure of a report: what is said, before any decision about LaTeX or HTML.

Text is a tuple of inline pieces. Every plain `str` is text, never mark-up: each renderer escapes it. Only
`Math.latex` and `Equation.latex` are LaTeX on purpose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from reports.drawing.theme import Theme


@dataclass(frozen=True)
class Cite:
    """A citation by BibTeX key: "(Hu et al., 2022)", or "Hu et al. (2022)" where `textual`."""

    keys: tuple[str, ...]
    textual: bool = False


@dataclass(frozen=True)
class Ref:
    """A reference to a table, figure or section by its label, such as `tab:scores`."""

    label: str


@dataclass(frozen=True)
class Math:
    """Inline mathematics, in LaTeX."""

    latex: str


@dataclass(frozen=True)
class Code:
    """A name or a command, in a fixed-width font."""

    text: str


@dataclass(frozen=True)
class Emphasis:
    """Words in italics."""

    text: str


Inline = str | Cite | Ref | Math | Code | Emphasis
Text = tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    """Running text, with a heading in its first line where there is one."""

    text: Text
    heading: str | None = None


@dataclass(frozen=True)
class Prompt(Paragraph):
    """A place for the student's own words: `text` says what belongs there, `key` names the file that holds it."""

    key: str = ""


@dataclass(frozen=True)
class Equation:
    """A displayed formula: LaTeX without dollar signs, from a card."""

    latex: str


@dataclass(frozen=True)
class Number:
    """One displayed number: `text` and `spread` are rounded for reading, the rest is exact.

    `note` follows the number in brackets; `cells` are the ids of the records behind it.
    """

    text: str
    value: float
    spread: str | None = None
    note: str | None = None
    cells: tuple[str, ...] = ()


class Source(str):
    """A cell that cites `key`. Where a renderer has no citations in tables, it reads as its text."""

    key: str

    def __new__(cls, text: str, key: str) -> Source:
        made = super().__new__(cls, text)
        made.key = key
        return made


@dataclass(frozen=True)
class Column:
    """`number` columns align right, and at the ± where numbers have a spread; `text` columns wrap, taking
    `share` of the line."""

    title: str
    kind: Literal["label", "number", "text"] = "number"
    unit: str | None = None
    group: str | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Row:
    """`gap` asks for a little space above: a new group of rows begins."""

    cells: tuple[str | Number | None, ...]
    gap: bool = False


@dataclass(frozen=True)
class Table:
    """`data` is the same content at full precision, for the CSV file. `wide` spans both columns. `spare` says how long
    it stays in the main part where pages are few: the higher, the longer; 0 is for good."""

    key: str
    caption: Text
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    data: pd.DataFrame
    wide: bool = False
    spare: int = 0

    @property
    def label(self) -> str:
        return f"tab:{self.key}"


@dataclass(frozen=True)
class Figure:
    """`draw` makes the figure anew, since each output has a theme of its own. `alt` says in words what it shows;
    `spare` as for tables."""

    key: str
    caption: Text
    alt: str
    draw: Callable[[Theme], Drawing]
    wide: bool = False
    spare: int = 0

    @property
    def label(self) -> str:
        return f"fig:{self.key}"


Block = Paragraph | Equation | Table | Figure


@dataclass(frozen=True)
class Section:
    """`spare` as for tables."""

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    spare: int = 0

    @property
    def label(self) -> str:
        return f"sec:{self.key}"


@dataclass(frozen=True)
class Document:
    """`facts` are (name, value) pairs for a title block; `appendix` follows the references. `spare` holds labels of
    tables, figures and sections that may move to the appendix where pages are few, the first to go last."""

    title: str
    subtitle: str
    date: str
    facts: tuple[tuple[str, str], ...]
    abstract: Text
    sections: tuple[Section, ...]
    appendix: tuple[Section, ...] = ()
    spare: tuple[str, ...] = ()

    def walk(self) -> list[Block]:
        """Every block, in the order of reading."""

        def inside(sections: tuple[Section, ...]) -> list[Block]:
            found: list[Block] = []
            for section in sections:
                found += [*section.blocks, *inside(section.sections)]
            return found

        return inside(self.sections) + inside(self.appendix)

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.walk() if isinstance(block, Table)]

    @property
    def figures(self) -> list[Figure]:
        return [block for block in self.walk() if isinstance(block, Figure)]

    def arranged(self, kept: int) -> Document:
        """With the first `kept` of what is spare in the main part, and the rest in the appendix."""
        moving = set(self.spare[kept:])
        moved: list[Block | Section] = []

        def rest(section: Section) -> Section:
            stay: list[Block] = []
            for block in section.blocks:
                gone = isinstance(block, (Table, Figure)) and block.label in moving
                (moved if gone else stay).append(block)
            inner = []
            for one in section.sections:
                if one.label in moving:
                    moved.append(one)
                else:
                    inner.append(rest(one))
            return replace(section, blocks=tuple(stay), sections=tuple(inner))

        sections = tuple(rest(section) for section in self.sections)
        if not moved:
            return self
        blocks = tuple(item for item in moved if not isinstance(item, Section))
        more = Section("more", "More of the Same Run", blocks, tuple(i for i in moved if isinstance(i, Section)))
        return replace(self, sections=sections, appendix=(more, *self.appendix))

    @property
    def texts(self) -> list[Text]:
        """Every running text and caption."""
        texts = [self.abstract]
        for block in self.walk():
            if isinstance(block, Paragraph):
                texts.append(block.text)
            elif isinstance(block, (Table, Figure)):
                texts.append(block.caption)
        return texts


@dataclass(frozen=True)
class Slide:
    """A title that says what the slide shows, sentences, and at most one table or figure. `order` is its place in the
    talk; `words` is what the speaker should say or write here in their own words; `minutes` the time planned for it."""

    title: str
    points: tuple[Text, ...] = ()
    block: Table | Figure | None = None
    order: int = 50
    words: str = ""
    minutes: float = 1.0

    @property
    def letters(self) -> int:
        """About how much there is to read, tables apart."""
        return sum(len(piece) if isinstance(piece, str) else 15 for point in self.points for piece in point)


@dataclass(frozen=True)
class Deck:
    """A talk: its slides in order, and those for questions."""

    title: str
    subtitle: str
    date: str
    slides: tuple[Slide, ...]
    backup: tuple[Slide, ...]


@dataclass(frozen=True)
class Part:
    """What a report has on one subject: a section of the document, slides of the talk, and slides for questions."""

    section: Section | None = None
    slides: tuple[Slide, ...] = ()
    backup: tuple[Slide, ...] = ()


def keyed(stem: str, position: int, of: int) -> str:
    """`scores`, or `scores-2` where a report needs several tables or figures of a kind."""
    return stem if of == 1 else f"{stem}-{position + 1}"


Shown = TypeVar("Shown", Table, Figure)
# The rank (`spare`) of the second and further tables or figures of a kind.
LATER = 20


def ranked(blocks: Iterable[Shown], first: int) -> list[Shown]:
    """Blocks of one kind, the first with the rank `first`, further ones with that of what goes early."""
    return [replace(block, spare=LATER if position else first) for position, block in enumerate(blocks)]


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that tell a text from others of the same plain letters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def plain_key(text: str) -> str:
    """ASCII letters, digits and hyphens, for labels in LaTeX and addresses on the page; other texts have other keys."""
    key = re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")
    return key if key == text else f"{key}-{short_hash(text)}".strip("-")


def listing(items: list[str]) -> str:
    """As `reports.model.writing.listing`, where it lives."""
    from reports.model.writing import listing as listed

    return listed(items)
