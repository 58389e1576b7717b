"""Links of pages that lie in the repository, as the site has them: files outside docs/ become pages of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Files outside docs/ that are pages under a name of their own.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def place(path: str) -> str | None:
    """Where in the site a file of the repository is, by its path there; None where it is none, or outside."""
    if path in PAGES:
        return PAGES[path]
    if path in (".", "docs"):
        return "index.md"
    if not (ROOT / path).is_file() or path.startswith(".."):
        return None
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md"


def relinked(text: str, source: str, page: str) -> str:
    """The text of a file of the repository with its links as seen from its page in the site. A link to what the site
    does not have stays as it is, for the build to complain of."""

    def moved(found: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", found[2]):
            return found[0]
        target = place(os.path.normpath(os.path.join(os.path.dirname(source), found[2])))
        return f"{found[1]}{relative(target, page)}{found[3]}" if target else found[0]

    return outside_code(text, lambda part: _LINK.sub(moved, part))


def sources(texts: dict[str, str]) -> list[str]:
    """The files outside docs/ to which texts of the repository, by path, link, and which are no page otherwise."""
    found = set()
    for source, text in texts.items():
        links = (match[2] for match in _LINK.finditer(text) if not re.match(r"[a-z]+:", match[2]))
        paths = (os.path.normpath(os.path.join(os.path.dirname(source), link)) for link in links)
        found |= {path for path in paths if (place(path) or "").startswith("source/")}
    return sorted(found)


def relative(target: str, page: str) -> str:
    """A page or file of the site as another page of it links to it."""
    return os.path.relpath(target, os.path.dirname(page) or ".").replace(os.sep, "/")


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with all but its fenced blocks changed."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
