"""Where results come from that others published, and what cannot be known of them."""

from __future__ import annotations

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.provenance import Provenance
from reports.model.document import Code, Paragraph, Part, Section, Slide, Text
from reports.model.prose import Prose, say
from reports.model.writing import plural
from reports.results import Results
from reports.sections.budgets import plain_number
from reports.sections.rows import several

PLACE = "before"
ORDER = 25


def part(analysis: Analysis, prose: Prose) -> Part:
    """Nothing for a run of ours."""
    found = analysis.provenance
    if found is None:
        return Part()
    rates = _rates(analysis.everything.results, found, prose)
    of: dict[str, Text | str] = {
        "files": plural(found.files, "result file"),
        "sources": listing(found.sources),
        "when": f"on {found.first}" if found.first == found.last else f"from {found.first} to {found.last}",
        "devices": f" on {listing(found.devices)}" if found.devices else "",
    }
    unknown = prose.text(
        "published",
        "unknown",
        seeds=plural(found.seeds, "seed"),
        rates=rates,
        images=() if analysis.shares else prose.text("published", "similarity"),
    )
    blocks = (
        Paragraph(prose.text("published", "source", software=_software(found), **of), "Source."),
        Paragraph(unknown, "What cannot be known."),
    )
    slide = Slide("Whose numbers these are", prose.passage("published", "slide", rates=rates, **of), order=25)
    return Part(Section("published", "Where the Data Come from", blocks), (slide,))


def _rates(results: Results, found: Provenance, prose: Prose) -> Text:
    if found.rate is None:
        return ()
    return prose.text(
        "published",
        "rates",
        configurations=several(len(results.labels), "configuration"),
        rated=str(found.rated),
        rate=plain_number(found.rate),
    )


def _software(found: Provenance) -> Text:
    """Versions and commits, as far as told."""
    versions = [f"{name} {' and '.join(of)}" for name, of in found.versions.items()]
    if not versions:
        return ()
    commits = listing([commit[:12] for commit in found.commits])
    return say(
        "Software: {versions}{commit}{branch}.",
        versions=listing(versions),
        commit=say(" (commit {commits})", commits=Code(commits)) if found.commits else (),
        branch=f", from the branch {listing(found.branches)}" if found.branches else "",
    )
