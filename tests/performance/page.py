"""docs/performance.md, and the figures that it is written from: docs/performance.json, a section for each part.

A part that is measured anew takes the place of its own section; the others stay as they are, each with the day, the
machine and the versions that it was measured with.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import environment
from tests.performance.figures import DOCS, Table

PAGE, FIGURES = "performance.md", "performance.json"
HEAD = """# How long things take

`make performance` writes this page; `make performance ARGS="steps grid"` measures some of its parts anew. Figures are
of one machine at one time; a target is what they are held against by whoever looks, since no test fails for being slow.
"""


def keep(part: str, title: str, where: str, about: str, tables: list[Table], docs: Path = DOCS) -> None:
    """Puts a part's tables, and what they are about, in the place of those that were there."""
    sections = known(docs)
    sections[part] = {
        "title": title,
        "where": where,
        "about": about.strip(),
        "tables": [asdict(table) for table in tables],
    }
    (docs / FIGURES).write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def known(docs: Path = DOCS) -> dict[str, Any]:
    """What was measured, by part."""
    path = docs / FIGURES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write(parts: list[str], docs: Path = DOCS) -> None:
    """The page, with those of the parts that were measured, in their order."""
    sections = known(docs)
    text = HEAD + "".join(_section(sections[part]) for part in parts if part in sections)
    (docs / PAGE).write_text(text, encoding="utf-8")


def _section(section: dict[str, Any]) -> str:
    text = f"\n## {section['title']}\n\n{section['about']}\n\n{section['where']}\n"
    for table in section["tables"]:
        paragraphs = [table["about"]] if table["about"] else []
        lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
        paragraphs.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        text += "".join(f"\n{paragraph}\n" for paragraph in [*paragraphs, *table["notes"]])
    return text


def where() -> str:
    """The day, the machine and the versions."""
    found = environment.describe()
    installed = found["versions"] | {"peft": metadata.version("peft")}
    versions = ", ".join(f"{name} {installed[name]}" for name in ("adaptbench", "torch", "transformers", "peft"))
    memory = f", {found['memory_bytes'] / 2**30:.0f} GiB" if found["memory_bytes"] else ""
    cores = f"{found['cores']} cores of {found['processor']}{memory}"
    return f"{datetime.now(UTC):%Y-%m-%d}: {cores}; Python {found['python']}, {versions}."
