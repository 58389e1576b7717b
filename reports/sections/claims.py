"""What papers claim of their methods, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.claims import OUTCOMES, Outcome, Verdict, tally
from reports.model import claim_words
from reports.model.document import Code, Column, Number, Part, Row, Section, Slide, Source, Table, Text, ranked
from reports.model.prose import Prose, join, say
from reports.model.references import Entry
from reports.model.writing import numeral, plural
from reports.sections.rows import Cell, paragraphs

PLACE = "results"
ORDER = 90

CLAIMS_PER_SLIDE = 5
# A table of claims that is longer than this may move to the appendix; of more than so many it is the first to go.
MANY_CLAIMS, PAGES_OF_CLAIMS = 12, 24
# Of more decided claims than this, the text names the first.
NAMED = 4
UNTESTABLE: Outcome = "not testable here"

_COLUMNS = (
    Column("Method", "label"),
    Column("Claim, as we read it", "text", share=0.2),
    Column("Source", "text", share=0.1),
    Column("Holds if", "text", share=0.09),
    Column("Measured", "text", share=0.1),
    Column("n"),
    Column("Verdict", "text", share=0.09),
    Column("Caveat", "text", share=0.21),
)
_UNTESTABLE_COLUMNS = (
    Column("Method", "label"),
    Column("Claim, as we read it", "text", share=0.36),
    Column("Source", "text", share=0.16),
    Column("Why there is no test", "text", share=0.33),
)


def part(analysis: Analysis, prose: Prose) -> Part:
    """How the claims fared, and a table of them."""
    verdicts, references = analysis.verdicts, analysis.references
    n = len(testable(verdicts) or verdicts)
    rank = 1 if n > PAGES_OF_CLAIMS else 100 if n > MANY_CLAIMS else 0
    blocks = [*ranked(table(verdicts, references), rank), *ranked(untestable(verdicts, references), 50)]
    section = Section("claims", "Claims of the papers", (*paragraphs([sentences(verdicts)]), *blocks))
    return Part(section, _slides(verdicts, references))


def _slides(verdicts: Sequence[Verdict], references: Mapping[str, Entry]) -> tuple[Slide, ...]:
    """Those that could be decided come first."""
    ordered = sorted(verdicts, key=lambda v: OUTCOMES.index(v.verdict))[:CLAIMS_PER_SLIDE]
    point = say(
        "Of {claims}: {counts}.",
        claims=plural(len(verdicts), "claim"),
        counts=listing([f"{n} {outcome}" for outcome, n in tally(verdicts).items()]),
    )
    made = table(ordered, references, brief=True)
    return tuple(Slide("What the papers claim", (point,), one, 80, minutes=1.5) for one in made)


def sentences(verdicts: Sequence[Verdict]) -> list[Text]:
    """How many claims fared how, and which were contradicted or supported by a test."""
    if not verdicts:
        return [say("The cards of these methods carry no claim that this run could test.")]
    counts = tally(verdicts)
    decided: tuple[Outcome, ...] = ("contradicted", "supported")
    said = [_how_many(verdicts), _fates(counts)]
    said += [_those([v for v in verdicts if v.verdict == outcome], outcome) for outcome in decided if outcome in counts]
    if counts.keys() & set(decided):
        scale = "A verdict holds at this scale: it neither refutes nor confirms a claim that was made at another."
        said.append(say(scale))
    if "inconclusive" in counts:
        between = (
            "*Inconclusive* is not a mild form of either: the pairs are too few, or the effect is too near to what the"
            " claim asks."
        )
        said.append(say(between))
    return said


def _how_many(verdicts: Sequence[Verdict]) -> Text:
    parted = 0 < len(testable(verdicts)) < len(verdicts)
    return say(
        "The cards of these methods carry {claims} of their papers ([tab:claims]{untested}).",
        claims=plural(len(verdicts), "claim"),
        untested=say("; untested ones: [tab:untestable]") if parted else (),
    )


def _fates(counts: Mapping[Outcome, int]) -> Text:
    if counts.keys() == {UNTESTABLE}:
        return say("In this run none is testable.")
    fates = [f"{numeral(n)} {'are' if n != 1 else 'is'} {outcome}" for outcome, n in counts.items()]
    return say("In this run {fates}.", fates=listing(fates))


def _those(verdicts: Sequence[Verdict], outcome: Outcome) -> Text:
    named = [
        say(
            "{label}, “{claim}”{effect}",
            label=Code(verdict.label),
            claim=verdict.claim.text.rstrip("."),
            effect=say(" ({effect})", effect=said) if (said := claim_words.effect(verdict)) else (),
        )
        for verdict in verdicts[:NAMED]
    ]
    more = len(verdicts) - len(named)
    return say(
        "{outcome}: {named}{more}.",
        outcome=outcome.capitalize(),
        named=join(named, between="; "),
        more=say("; and {more} more", more=more) if more else (),
    )


def testable(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that this run can test."""
    return [verdict for verdict in verdicts if verdict.verdict != UNTESTABLE]


def table(verdicts: Sequence[Verdict], references: Mapping[str, Entry], brief: bool = False) -> list[Table]:
    """Claim, source, what the effect has to be, effect with interval and n, verdict, caveat; without the caveat where
    `brief`. Only claims that could be tested, if any could."""
    if not testable(verdicts):
        return _left_out("claims", verdicts, references)
    tested = testable(verdicts)
    shared = _shared([claim_words.caveats(verdict) for verdict in tested])
    rows = []
    for verdict, name, gap in _named(tested):
        source = _source(verdict.claim.source, references)
        caveat = " ".join(said for said in claim_words.caveats(verdict) if said not in shared) or None
        cells: tuple[Cell, ...] = (name, verdict.claim.text, source, claim_words.asked(verdict))
        rows.append(Row((*cells, _effect(verdict), str(verdict.n), verdict.verdict, caveat), gap))
    columns: tuple[Column, ...] = _COLUMNS
    if brief:
        rows = [Row(row.cells[:-1], row.gap) for row in rows]
        columns = tuple(replace(column, share=1.35 * column.share) for column in columns[:-1])
    data = pd.DataFrame([_line(verdict) for verdict in tested])
    return [Table("claims", _caption(tested, shared), columns, tuple(rows), data, wide=True)]


def _named(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, str, bool]]:
    """Each with its label where that is another than the one above, and whether a gap is above it."""
    several = len({verdict.backbone for verdict in verdicts}) > 1
    made, before = [], None
    for verdict in verdicts:
        name = f"{verdict.label} ({verdict.backbone})" if several else verdict.label
        made.append((verdict, "" if name == before else name, before not in (None, name)))
        before = name
    return made


def _line(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "label": verdict.label,
        "method": verdict.method,
        "backbone": verdict.backbone,
        "claim": claim.text,
        "source": claim.source,
        "measure": claim.measure,
        "comparator": claim.comparator,
        "relation": claim.relation,
        "margin": claim.margin,
        "scope": claim.scope,
        "verdict": verdict.verdict,
        "effect": verdict.effect,
        "low": verdict.low,
        "high": verdict.high,
        "level": verdict.level,
        "unit": verdict.unit,
        "n": verdict.n,
        "p": verdict.p,
        "population": verdict.population,
        "measured": claim_words.measured(verdict),
        "caveat": " ".join(claim_words.caveats(verdict)),
        "cells": " ".join(verdict.cells),
    }


def _caption(verdicts: Sequence[Verdict], shared: Sequence[str]) -> Text:
    what = (
        "What the papers claim, and what this run measured: the method's score minus the comparator's, or the ratio of"
        " what else is compared (×), with an interval of {level} % where the pairs are enough for one; n: pairs of task"
        " and seed."
    )
    scope = "A verdict is about this backbone, budget and these tasks, which are tested together."
    if any(verdict.population for verdict in verdicts):
        scope += " One on scores is about other test examples as well, as far as predictions were kept."
    test = (
        "One on scores and times needs a one-sided test that Holm's correction over all claims leaves standing;"
        " intervals are not corrected, and one that lies where the claim holds may still be “inconclusive”."
    )
    more = [(said.replace("Here: ", "All of this holds for "),) for said in shared]
    return join([say(what, level=f"{100 * verdicts[0].level:.0f}"), say(scope), say(test), *more])


def untestable(verdicts: Sequence[Verdict], references: Mapping[str, Entry]) -> list[Table]:
    """Claims that this run cannot test, and why, where `table` leaves them out."""
    tested = testable(verdicts)
    return _left_out("untestable", [v for v in verdicts if v not in tested], references) if tested else []


def _left_out(key: str, left: Sequence[Verdict], references: Mapping[str, Entry]) -> list[Table]:
    if not left:
        return []
    rows = [
        Row((name, verdict.claim.text, _source(verdict.claim.source, references), verdict.reason), gap)
        for verdict, name, gap in _named(left)
    ]
    data = [
        {
            "label": verdict.label,
            "backbone": verdict.backbone,
            "claim": verdict.claim.text,
            "source": verdict.claim.source,
            "why": verdict.reason,
        }
        for verdict in left
    ]
    caption = say("Claims of the papers that this run cannot test, and why.")
    return [Table(key, caption, _UNTESTABLE_COLUMNS, tuple(rows), pd.DataFrame(data), wide=True)]


def _shared(caveats: Sequence[Sequence[str]]) -> list[str]:
    """Sentences that every caveat has, which are said once, above the table."""
    if len(caveats) < 2:
        return []
    return [said for said in caveats[0] if all(said in of for of in caveats)]


def _source(key: str, references: Mapping[str, Entry]) -> str:
    entry = references.get(key)
    return Source(f"{entry.short}, {entry.year}", key) if entry else key


def _effect(verdict: Verdict) -> Number | None:
    text = claim_words.effect(verdict)
    return Number(text, verdict.effect, cells=verdict.cells) if text and verdict.effect is not None else None
