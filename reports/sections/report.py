"""The document of an analysis: title, abstract and facts, and between them what the subjects have to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.model.document import (
    Block,
    Cite,
    Document,
    Figure,
    Inline,
    Paragraph,
    Part,
    Prompt,
    Section,
    Table,
    Text,
)
from reports.model.prose import OURS, Prose, say
from reports.model.references import Entry
from reports.model.writing import numeral
from reports.results import SCORED, Results
from reports.sections import abstract, parts, unfinished


def compose(analysis: Analysis, prose: Prose = OURS) -> Document:
    """The document, for LaTeX and HTML alike. Only works that an entry describes are cited."""
    results, topic = analysis.everything.results, analysis.topic
    sections = (
        *_sections(parts("before", analysis, prose)),
        _results(analysis, prose),
        *_sections(parts("after", analysis, prose)),
    )
    what = "Published Configuration" if analysis.provenance else "Method"
    number = f"{numeral(len(results.labels)).capitalize()} {what}{'s' if len(results.labels) != 1 else ''}"
    budget = "" if analysis.provenance else " under One Budget"
    document = Document(
        title=f"{topic.title}: {'A Critical Look' if topic.family else number}{budget}",
        subtitle=f"Report on the suite “{results.name}”",
        date=results.manifest.created[:10],
        facts=_facts(results),
        abstract=abstract.text(analysis),
        sections=sections,
        appendix=tuple(_sections(parts("appendix", analysis, prose))),
        spare=_spare(sections),
    )
    return known_only(document, analysis.references)


def for_page(document: Document) -> Document:
    """As the web page shows it: without places for a student's words, and with the survey's table in its body. Cells
    and environments have views of their own there."""

    def without(section: Section) -> Section:
        blocks = tuple(block for block in section.blocks if not isinstance(block, Prompt))
        return replace(section, blocks=blocks, sections=tuple(without(s) for s in section.sections))

    more = tuple(section for section in document.appendix if section.key not in ("cells", "environment"))
    return replace(document, sections=tuple(without(s) for s in (*document.sections, *more)))


def known(text: Text, references: Mapping[str, Entry]) -> Text:
    """Without citations of works that no entry describes, so that nothing is left undefined."""
    kept: list[Inline] = []
    for piece in text:
        if isinstance(piece, Cite):
            keys = tuple(key for key in piece.keys if key in references)
            if not keys and kept and isinstance(kept[-1], str):
                kept[-1] = kept[-1].rstrip()
            kept += [replace(piece, keys=keys)] if keys else []
        else:
            kept.append(piece)
    return tuple(kept)


def known_only(document: Document, references: Mapping[str, Entry]) -> Document:
    """The document with `known` citations alone."""

    def block(one: Block) -> Block:
        if isinstance(one, Paragraph):
            return replace(one, text=known(one.text, references))
        if isinstance(one, (Table, Figure)):
            return replace(one, caption=known(one.caption, references))
        return one

    def section(one: Section) -> Section:
        return replace(one, blocks=tuple(map(block, one.blocks)), sections=tuple(map(section, one.sections)))

    return replace(
        document,
        abstract=known(document.abstract, references),
        sections=tuple(map(section, document.sections)),
        appendix=tuple(map(section, document.appendix)),
    )


def _sections(found: list[Part]) -> list[Section]:
    """Those that hold anything."""
    sections = [part.section for part in found if part.section]
    return [section for section in sections if section.blocks or section.sections]


def _results(analysis: Analysis, prose: Prose) -> Section:
    if analysis.results.scored.empty:
        nothing = Paragraph(say("No cell of this suite has a score yet, so that there is nothing to compare."))
        return Section("results", "Results", (nothing, *unfinished.blocks(analysis)))
    return Section("results", "Results", (), tuple(_sections(parts("results", analysis, prose))))


def _facts(results: Results) -> tuple[tuple[str, str], ...]:
    done = int(results.cells["status"].isin(SCORED).sum())
    backbones = listing([results.title("backbones", b) for b in results.backbones])
    return (
        ("Backbone" + ("s" if len(results.backbones) > 1 else ""), backbones),
        ("Methods", str(len(results.labels))),
        ("Tasks", str(len(results.tasks))),
        ("Seeds", str(results.cells["seed"].nunique())),
        ("Cells with a score", f"{done} of {len(results.cells)}"),
    )


def _spare(sections: tuple[Section, ...]) -> tuple[str, ...]:
    """What may move to the appendix, in the order in which it is kept in the main part."""

    def spare(section: Section) -> Iterator[tuple[int, str]]:
        for one in (*section.blocks, *section.sections):
            if isinstance(one, (Table, Figure, Section)) and one.spare:
                yield one.spare, one.label
            if isinstance(one, Section):
                yield from spare(one)

    found = {label: rank for section in sections for rank, label in spare(section)}
    return tuple(sorted(found, key=lambda label: (-found[label], label)))
