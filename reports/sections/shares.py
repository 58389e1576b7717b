"""What the number of test examples alone allows to be said of scores: intervals, and pairs that can be told apart."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.decisions import Word
from reports.analysis.proportions import Share, Shares
from reports.analysis.statistics import ALPHA
from reports.model import verdict_words
from reports.model.document import Code, Column, Number, Part, Row, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import plural, points
from reports.results import Results
from reports.sections.rows import paragraphs

PLACE = "results"
ORDER = 15

_WORDS: tuple[Word, ...] = get_args(Word)


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of configurations with one seed and without predictions, whose metric is a share of examples."""
    whole = analysis.everything
    if not whole.shares:
        return Part()
    made = ranked(tables(whole), 95)
    said = [_sentences(whole.results, of, prose) for of in whole.shares]
    title = "What the number of test examples tells"
    slide = Slide("What can be told apart", tuple(said[0][1:]), made[0], order=45)
    return Part(Section("shares", title, (*paragraphs(said), *made)), (slide,))


def _sentences(results: Results, of: Shares, prose: Prose) -> list[Text]:
    """How it is told, and what comes of it."""
    words = Counter(pair.decision.word for pair in of.pairs)
    decided, equal = words["better"] + words["worse"], words["practically equal"]
    rest = len(of.pairs) - decided - equal
    how = prose.text(
        "published",
        "shares",
        metric=results.metric(of.task).capitalize(),
        n=f"{of.shares[0].of.examples:,}",
        pairs=f"{len(of.pairs):,}",
        alpha=str(ALPHA),
    )
    counts = say(
        "Of {pairs} on {task}, {decided} can be told apart, {equal} {are} practically equal (within {margin}), and"
        " {rest} undecided.",
        pairs=plural(len(of.pairs), "pair"),
        task=Code(of.task),
        decided=str(decided),
        equal=str(equal),
        are="is" if equal == 1 else "are",
        margin=verdict_words.margin(of.pairs[0].decision, results.scale(of.task)),
        rest=f"{rest} {'is' if rest == 1 else 'are'}",
    )
    return [how, counts, *_nearest(of)]


def _nearest(of: Shares) -> list[Text]:
    """Which of the undecided pairs would be decided first."""
    open_ = [
        (pair.decision.examples, pair) for pair in of.pairs if not pair.decision.decided and pair.decision.examples
    ]
    if not open_:
        return []
    needed, pair = min(open_, key=lambda each: each[0])
    said = "Of those {one} and {other} would be decided first, by about {needed} examples (80\u00a0% power)."
    return [say(said, one=Code(pair.one), other=Code(pair.other), needed=verdict_words.about(needed))]


def tables(analysis: Analysis) -> list[Table]:
    """A row per configuration, best first: score, interval, and the words of its pairs; the pairs are in the CSV."""
    found = analysis.shares
    return [_table(analysis.results, of, keyed("shares", i, len(found))) for i, of in enumerate(found)]


def _table(results: Results, of: Shares, key: str) -> Table:
    columns = (
        Column("Configuration", "label"),
        Column("score"),
        Column("95 % interval"),
        *(Column(word, group="Pairs in which it is") for word in _WORDS),
    )
    caption = join(
        [
            say(
                "Test {metric} on {task}, in points, of configurations with one seed and without predictions, with the"
                " interval that {n} test examples leave; and how many of the others each is better than, and so on.",
                metric=results.metric(of.task),
                task=Code(of.task),
                n=f"{of.shares[0].of.examples:,}",
            ),
            say("Unpaired, corrected over all pairs; about other examples, for these very models."),
        ]
    )
    return Table(key, caption, columns, tuple(_row(of, share) for share in of.shares), _data(of), wide=True)


def _row(of: Shares, share: Share) -> Row:
    found = share.of
    return Row(
        (
            found.label,
            Number(points(found.score), found.score, cells=(found.cell,)),
            f"{points(share.low)}–{points(share.high)}",
            *(str(of.count(found.label, word)) for word in _WORDS),
        )
    )


def _data(of: Shares) -> pd.DataFrame:
    """Every pair, at full precision."""
    cells = {share.of.label: share.of.cell for share in of.shares}
    rows: list[dict[str, Any]] = [
        {
            "backbone": of.backbone,
            "task": of.task,
            "label": pair.one,
            "other": pair.other,
            "difference": pair.decision.effect,
            "low": pair.decision.interval[0],
            "high": pair.decision.interval[1],
            "p_different": pair.decision.difference,
            "p_equal": pair.decision.equivalence,
            "verdict": pair.decision.word,
            "margin": pair.decision.margin,
            "examples_needed": pair.decision.examples,
            "cells": f"{cells[pair.one]} {cells[pair.other]}",
        }
        for pair in of.pairs
    ]
    return pd.DataFrame(rows)
