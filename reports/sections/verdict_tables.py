"""Tables of what papers claim and what the survey prints, each beside what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reports.analysis.claims import Outcome, Verdict, asked, tally
from reports.analysis.compositions import AxisRating
from reports.model.document import (
    Cite,
    Code,
    Column,
    Emphasis,
    Inline,
    Number,
    Paragraph,
    Ref,
    Row,
    Source,
    Table,
    Text,
    listing,
)
from reports.model.references import Entry
from reports.model.writing import numeral, plural
from reports.results import Results


def claims(verdicts: Sequence[Verdict], references: dict[str, Entry], brief: bool = False) -> list[Table]:
    """Claim, source, what the effect has to be, effect with interval and n, verdict, caveat; without the caveat where
    `brief`. Only claims that could be tested, if any could."""
    if not testable(verdicts):
        return _left_out("claims", verdicts, references)
    verdicts = testable(verdicts)
    several = len({v.backbone for v in verdicts}) > 1
    shared = _shared([v.caveat for v in verdicts])
    rows: list[Row] = []
    data = []
    label = None
    for v in verdicts:
        name = f"{v.label} ({v.backbone})" if several else v.label
        gap = label is not None and name != label
        scope = v.claim.scope
        source = _source(v.claim.source, references)
        effect = _effect(v)
        caveat = " ".join(s for s in _sentences(v.caveat) if s not in shared) or None
        rows.append(
            Row(
                (
                    name if name != label else "",
                    v.claim.text,
                    source,
                    asked(v.claim),
                    effect,
                    str(v.n),
                    v.verdict,
                    caveat,
                ),
                gap,
            )
        )
        label = name
        data.append({"label": v.label, "method": v.method, "backbone": v.backbone, "claim": v.claim.text,
                     "source": v.claim.source, "measure": v.claim.measure,
                     "comparator": v.claim.comparator, "relation": v.claim.relation,
                     "margin": v.claim.margin, "scope": scope, "verdict": v.verdict, "effect": v.effect,
                     "low": v.low, "high": v.high, "level": v.level, "unit": v.unit, "n": v.n, "p": v.p,
                     "measured": v.measured, "caveat": v.caveat, "cells": " ".join(v.cells)})  # fmt: skip
    columns: tuple[Column, ...] = (
        Column("Method", "label"),
        Column("Claim, as we read it", "text", share=0.2),
        Column("Source", "text", share=0.1),
        Column("Holds if", "text", share=0.09),
        Column("Measured", "text", share=0.1),
        Column("n"),
        Column("Verdict", "text", share=0.09),
        Column("Caveat", "text", share=0.21),
    )
    level = f"{100 * verdicts[0].level:.0f}"
    caption: Text = (
        "What the papers claim, and what this run measured: the method's score minus the comparator's, or the ratio"
        f" of what else is compared (×), with an interval of {level} % where the pairs are enough for one; n: pairs of"
        " task and seed."
        " A verdict is about this backbone, budget and these tasks, which are tested together. One on scores and times"
        " needs a one-sided test that Holm's correction over all claims leaves standing; intervals are not corrected,"
        " and one that lies where the claim holds may still be “inconclusive”."
        + "".join(f" {s.replace('Here: ', 'All of this holds for ')}" for s in shared),
    )
    if brief:
        columns, rows = columns[:-1], [Row(row.cells[:-1], row.gap) for row in rows]
        columns = tuple(replace(c, share=1.35 * c.share) for c in columns)
    return [Table("claims", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def testable(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.verdict != "not testable here"]


def untestable(verdicts: Sequence[Verdict], references: dict[str, Entry]) -> list[Table]:
    """Claims that this run cannot test, and why, where `claims` leaves them out."""
    tested = testable(verdicts)
    return _left_out("untestable", [v for v in verdicts if v not in tested], references) if tested else []


def _left_out(key: str, left: Sequence[Verdict], references: dict[str, Entry]) -> list[Table]:
    if not left:
        return []
    several = len({v.backbone for v in left}) > 1
    rows: list[Row] = []
    before = None
    for v in left:
        name = f"{v.label} ({v.backbone})" if several else v.label
        source = _source(v.claim.source, references)
        row = ("" if name == before else name, v.claim.text, source, v.measured)
        rows.append(Row(row, gap=before not in (None, name)))
        before = name
    columns = (
        Column("Method", "label"), Column("Claim, as we read it", "text", share=0.36),
        Column("Source", "text", share=0.16), Column("Why there is no test", "text", share=0.33),
    )  # fmt: skip
    data = pd.DataFrame([{"label": v.label, "backbone": v.backbone, "claim": v.claim.text,
                          "source": v.claim.source, "why": v.measured} for v in left])  # fmt: skip
    return [Table(key, ("Claims of the papers that this run cannot test, and why.",), columns, tuple(rows), data,
                  wide=True)]  # fmt: skip


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z])", text)


def _shared(caveats: list[str]) -> list[str]:
    """Sentences that every caveat has, which are said once, above the table."""
    if len(caveats) < 2:
        return []
    return [sentence for sentence in _sentences(caveats[0]) if all(sentence in _sentences(c) for c in caveats)]


def _source(key: str, references: dict[str, Entry]) -> str:
    entry = references.get(key)
    return Source(f"{entry.short}, {entry.year}", key) if entry else key


def effect_text(v: Verdict) -> str | None:
    """ "−0.4 points [−1.0, +0.2]", or "× 0.62 [0.60, 0.65]"."""
    if v.effect is None or not math.isfinite(v.effect):
        return None
    points = v.unit == "points"

    def one(value: float) -> str:
        if points:
            return f"{value:+.1f}".replace("-", "−")
        return f"{value:.3f}" if 0.9 < value < 1.1 else f"{value:#.3g}".rstrip(".")

    main = (
        f"{one(v.effect)} points"
        if points
        else f"× {one(v.effect)}"
        if v.unit == "ratio"
        else f"{one(v.effect)} {v.unit}"
    )
    if v.low is None or v.high is None or one(v.low) == one(v.high):
        return main
    return f"{main} [{one(v.low)}, {one(v.high)}]"


def _effect(v: Verdict) -> Number | str | None:
    text = effect_text(v)
    return None if text is None or v.effect is None else Number(text, v.effect, cells=v.cells)


def told(verdicts: Sequence[Verdict]) -> list[Paragraph]:
    """How many claims fared how, and which were contradicted or supported by a test."""
    if not verdicts:
        return [Paragraph(("The cards of these methods carry no claim that this run could test.",))]
    counts = tally(verdicts)
    parted = 0 < len(testable(verdicts)) < len(verdicts)
    text: list[Inline] = [f"The cards of these methods carry {plural(len(verdicts), 'claim')} of their papers (",
                          Ref("tab:claims"), *(("; untested ones: ", Ref("tab:untestable")) if parted else ()),
                          "). In this run "]  # fmt: skip
    fates = listing([f"{numeral(n)} {'are' if n != 1 else 'is'} {o}" for o, n in counts.items()])
    text.append("none is testable." if counts.keys() == {"not testable here"} else f"{fates}.")
    decided: tuple[Outcome, ...] = ("contradicted", "supported")
    for outcome in decided:
        them = [v for v in verdicts if v.verdict == outcome][:4]
        for i, v in enumerate(them):
            lead = f" {outcome.capitalize()}: " if not i else "; "
            text += [lead, Code(v.label), ", “", v.claim.text.rstrip("."), "”"]
            if said := effect_text(v):
                text.append(f" ({said})")
        if them:
            text.append("." if len(them) == counts[outcome] else f"; and {counts[outcome] - len(them)} more.")
    if counts.keys() & set(decided):
        text.append(" A verdict holds at this scale: it neither refutes nor confirms a claim that was made at another.")
    if "inconclusive" in counts:
        text += [" ", Emphasis("Inconclusive"), " is not a mild form of either: the pairs are too few, or the effect is"
                 " too near to what the claim asks."]  # fmt: skip
    return [Paragraph(tuple(text))]


_VALUES = {"percent": "{:.3g} %".format, "ratio": "× {:.3g}".format, "points": "{:+.1f} points".format}


def compositions(ratings: list[AxisRating], results: Results) -> list[Table]:
    """The survey's ratings, printed beside measured, a row per composition and axis."""
    if not ratings:
        return []
    rows: list[Row] = []
    before: tuple[str, str] | None = None
    for r in ratings:
        head = (r.backbone, r.composition)
        name = (
            f"{r.composition} ({results.title('backbones', r.backbone)})"
            if len(results.backbones) > 1
            else r.composition
        )
        unit = "" if r.value is None else _VALUES[r.unit](r.value).replace("-", "−")
        basis = f"{r.rule}" if r.computed is not None else r.reason or r.rule
        rows.append(Row((name if head != before else "", r.axis, r.printed, r.computed or None, unit or None,
                         r.agreement, basis), gap=before is not None and head != before))  # fmt: skip
        before = head
    columns = (
        Column("Composition", "label"), Column("Axis", "label"), Column("printed", "label", group="Rating"),
        Column("computed", "label", group="Rating"), Column("Value", "text", share=0.15),
        Column("Agreement", "label"), Column("Rule, or why there is none", "text", share=0.3),
    )  # fmt: skip
    data = pd.DataFrame([r.__dict__ | {"labels": " ".join(r.labels)} for r in ratings])
    caption: Text = (
        "The survey's table of compositions ", Cite(("pfeiffer2023modular",)), " as we read it, beside ratings"
        " computed from this run by the rules given: medians over the labels that compose in that way. The survey rates"
        " ideas over a literature; this run measures a few configurations on one machine.",
    )  # fmt: skip
    return [Table("compositions", caption, columns, tuple(rows), data, wide=True)]
