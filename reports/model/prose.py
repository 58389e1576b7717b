"""Running text: sentences with citations, references and mathematics in them, written as people write them.

`say` turns one into the pieces that renderers know:

    say("On {task}, {n} of the tests show a difference ([tab:differences]; [@holm1979]).", task=Code(name), n=3)

`{hole}` is what is given under that name, and never read as mark-up, whatever it holds; `[@key]` and `[@a; @b]` cite in
brackets, `@key` in the sentence; `[tab:key]`, `[fig:key]` and `[sec:key]` refer; `$…$` is LaTeX mathematics; words
between backticks are code, between asterisks emphasised.

Fixed prose lies in templates/prose as Markdown: below headings, paragraphs, and in a paragraph one sentence on a line,
so that a talk can show sentences as points without cutting them out of paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from records.vocabulary import nearest
from reports.model.document import Cite, Code, Emphasis, Inline, Math, Prompt, Ref, Text
from reports.model.resources import FRONT_MATTER, TEMPLATES, TemplateError, headings, read_text

# What may be put into a hole; of nothing, nothing is said.
Part = Inline | Text | int | None
# The sentences of a paragraph.
Passage = tuple[Text, ...]

_TOKEN = re.compile(
    r"\{(?P<hole>\w+)\}|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$|\[(?P<cite>@[^\]]+)\]"
    r"|\[(?P<ref>(?:tab|fig|sec):[^\]\s]+)\]|(?<!\w)@(?P<textual>[A-Za-z][\w:-]*)|\*(?P<emphasis>[^*\s][^*]*)\*"
)


def say(sentence: str, /, **parts: Part) -> Text:
    """The pieces of a sentence of ours. Raises KeyError on a hole that nothing is given for."""
    said: list[Inline] = []
    for piece in _parse(sentence):
        if isinstance(piece, _Hole):
            _put(said, parts[piece.name])
        else:
            _put(said, piece)
    return tuple(said)


def join(sentences: Iterable[Text], between: str = " ") -> Text:
    """One running text of several; what says nothing is left out."""
    said: list[Inline] = []
    for sentence in sentences:
        if sentence and said:
            _put(said, between)
        _put(said, sentence)
    return tuple(said)


def each(parts: Iterable[Text | Inline], last: str = " and ") -> Text:
    """ "a, b and c"."""
    items = list(parts)
    said: list[Inline] = []
    for i, item in enumerate(items):
        _put(said, "" if not i else last if i == len(items) - 1 else ", ")
        _put(said, item)
    return tuple(said)


def plain(text: Text) -> str:
    """The words alone. Mathematics stays LaTeX, citations and references are their keys."""
    said = []
    for piece in text:
        match piece:
            case str():
                said.append(piece)
            case Code(words) | Emphasis(words) | Math(words) | Ref(words):
                said.append(words)
            case Cite(keys):
                said.append("; ".join(keys))
    return "".join(said)


class _Hole(NamedTuple):
    name: str


@cache
def _parse(sentence: str) -> tuple[Inline | _Hole, ...]:
    pieces: list[Inline | _Hole] = []
    at = 0
    for found in _TOKEN.finditer(sentence):
        pieces += [sentence[at : found.start()]] if found.start() > at else []
        at = found.end()
        match found.lastgroup, found[found.lastgroup or 0]:
            case "hole", name:
                pieces.append(_Hole(name))
            case "code", code:
                pieces.append(Code(code))
            case "math", latex:
                pieces.append(Math(latex))
            case "cite", keys:
                pieces.append(Cite(tuple(key.strip().removeprefix("@") for key in keys.split(";"))))
            case "ref", label:
                pieces.append(Ref(label))
            case "textual", key:
                pieces.append(Cite((key,), textual=True))
            case _, words:
                pieces.append(Emphasis(words))
    return (*pieces, sentence[at:]) if at < len(sentence) else tuple(pieces)


def _put(said: list[Inline], part: Part) -> None:
    """Appends, with neighbouring strings in one."""
    if part is None or part == "":
        return
    if isinstance(part, tuple) and not isinstance(part, str):
        for piece in part:
            _put(said, piece)
    elif isinstance(part, int):
        _put(said, f"{part:,}")
    elif type(part) is str and said and type(said[-1]) is str:
        said[-1] += part
    else:
        said.append(part)


class Prose:
    """The fixed prose: ours, and in its place what `folder` (a user's template) has under the same names. What an own
    file leaves out is left out. Raises TemplateError where one has a heading that ours does not have."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def passages(self, name: str, heading: str, /, **parts: Part) -> list[Passage]:
        """The paragraphs below a heading of `prose/<name>.md`; none where there is no such heading. Raises
        TemplateError, with file and line, on a hole that nothing is given for."""
        path, sections = self._read(name)
        made = []
        for passage in sections.get(heading, ()):
            sentences = []
            for line, sentence in passage:
                try:
                    sentences.append(say(sentence, **parts))
                except KeyError as error:
                    known = ", ".join(f"{{{hole}}}" for hole in parts) or "none"
                    raise TemplateError(f"{path}:{line}: unknown hole {{{error.args[0]}}}; known: {known}") from None
            made.append(tuple(sentences))
        return made

    def passage(self, name: str, heading: str, /, **parts: Part) -> Passage:
        """All sentences below a heading."""
        return tuple(sentence for passage in self.passages(name, heading, **parts) for sentence in passage)

    def text(self, name: str, heading: str, /, **parts: Part) -> Text:
        """All that is below a heading, as one running text."""
        return join(self.passage(name, heading, **parts))

    def prompts(self, key: str) -> list[Prompt]:
        """The place for the student's own words in a section, as yourwords.md asks for them there; none where it asks
        for nothing."""
        asked = self.text("yourwords", key)
        return [Prompt(asked, key=key)] if asked else []

    def words(self, slide: str) -> str:
        """What yourwords.md asks the speaker for on a slide."""
        return plain(self.text("yourwords", f"slide: {slide}"))

    def _read(self, name: str) -> tuple[Path, dict[str, list[list[tuple[int, str]]]]]:
        ours = TEMPLATES / "prose" / f"{name}.md"
        own = self.folder / "prose" / f"{name}.md" if self.folder else None
        if not own or not own.is_file():
            return ours, _sections(read_text(ours)) if ours.is_file() else {}
        text = read_text(own)
        if ours.is_file():
            known = headings(read_text(ours))
            for heading in headings(text):
                if heading not in known:
                    raise TemplateError(f"{own}: unknown heading “{heading}”{nearest(heading, known)}")
        return own, _sections(text)


# Without a user's.
OURS = Prose()


def _sections(text: str) -> dict[str, list[list[tuple[int, str]]]]:
    """By heading, the paragraphs, each of (line number, sentence)."""
    sections: dict[str, list[list[tuple[int, str]]]] = {}
    paragraphs: list[list[tuple[int, str]]] = []
    skipped = FRONT_MATTER.match(text)
    first = skipped[0].count("\n") if skipped else 0
    new = True
    for number, line in enumerate(text.splitlines()[first:], first + 1):
        if line.startswith("#"):
            paragraphs = sections.setdefault(line.lstrip("#").strip().lower(), [])
            new = True
        elif not line.strip():
            new = True
        else:
            if new:
                paragraphs.append([])
            paragraphs[-1].append((number, line.strip()))
            new = False
    return sections
