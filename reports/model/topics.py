"""The topics that a report can be about: one family of methods, or all of them.

A topic is one file, templates/prose/topics/<key>.md. Between its first lines of dashes stand the `title` and, where it
is about one, the `family`; below, under headings, what is said of it: the question, what, why and how, doubts that a
critical reader has of the papers, and the idea, which reports on other topics show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from records.vocabulary import FAMILIES, nearest
from reports.model.resources import TEMPLATES, TemplateError, front_matter, headings, read_text

HEADINGS = ("question", "idea", "what", "why", "how", "doubts")


@dataclass(frozen=True)
class Topic:
    """`family` is None where it is about all of them."""

    key: str
    title: str
    family: str | None = None

    @property
    def prose(self) -> str:
        """The name of its file, for `Prose`."""
        return f"topics/{self.key}"


def names(folder: Path | None = None) -> list[str]:
    """The keys, without a look into the files: "all" first, the others by name."""
    return sorted(_files(folder), key=lambda key: (key != "all", key))


def topics(folder: Path | None = None) -> dict[str, Topic]:
    """By key: all families together, then each in the order of the families, then what stands for none of ours. A
    user's template `folder` may add topics, and take the place of ours. Raises TemplateError on a file without a
    title, or with a heading that is none of `HEADINGS`."""
    found = [_read(path) for path in _files(folder).values()]
    return {topic.key: topic for topic in sorted(found, key=_place)}


def chosen(key: str = "all", folder: Path | None = None) -> Topic:
    """The topic of this key. Raises TemplateError where there is none."""
    files = _files(folder)
    if key not in files:
        raise TemplateError(f"no topic {key!r}; there are {', '.join(names(folder))}{nearest(key, files)}")
    return _read(files[key])


def _files(folder: Path | None) -> dict[str, Path]:
    roots = [root / "prose" / "topics" for root in (TEMPLATES, folder) if root]
    return {path.stem: path for root in roots for path in sorted(root.glob("*.md"))}


def _read(path: Path) -> Topic:
    text = read_text(path)
    said = front_matter(text)
    if not said.get("title"):
        raise TemplateError(f"{path}: a topic needs a title: begin with the lines ---, title: …, ---")
    for heading in headings(text):
        if heading not in HEADINGS:
            raise TemplateError(f"{path}: unknown heading “{heading}”{nearest(heading, HEADINGS)}")
    return Topic(path.stem, said["title"], said.get("family") or None)


def _place(topic: Topic) -> tuple[bool, int, str]:
    families = list(FAMILIES)
    return topic.key != "all", families.index(topic.family) if topic.family in families else len(families), topic.key
