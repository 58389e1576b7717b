"""Whether families err on the same examples, and what a vote of theirs gains; where predictions were kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from reports.analysis.agreement import mean, over_tasks
from reports.analysis.analysis import Analysis
from reports.analysis.errors import Errors
from reports.analysis.votes import LEVEL, Vote
from reports.drawing import agreement as drawing
from reports.model.document import Code, Column, Figure, Number, Part, Row, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import decimal, numeral, points
from reports.sections.rows import several, shown

PLACE = "results"
ORDER = 62

RANK = 52
# As far apart two mean kappas are worth a word; a threshold of ours.
APART = 0.05


def part(analysis: Analysis, prose: Prose) -> Part:
    """Agreement between families, and votes."""
    found = judged(analysis)
    if not found:
        return Part()
    drawn = ranked(drawing.figures(analysis), RANK)
    said = [_by_all(found), *_alike(found), *_votes(found)]
    slide = Slide("Do families err alike?", tuple(said[:4]), drawn[0] if drawn else None, order=75)
    blocks: list[Table | Figure] = [*ranked(tables(analysis), RANK - 2), *drawn, *ranked(pairs(analysis), RANK - 30)]
    section = Section("errors", "Who errs where", shown([[*said, _caution()]], blocks))
    return Part(section, (slide,))


def judged(analysis: Analysis) -> list[Errors]:
    """What has answers that are right or wrong, of all configurations: families are compared here."""
    return [one for one in analysis.everything.errors if one.judged]


def _where(found: list[Errors]) -> Text:
    """The start of a sentence."""
    if len(found) == 1:
        return say("Of the {n} test examples of {task}", n=found[0].n, task=Code(found[0].task))
    several_backbones = len({one.backbone for one in found}) > 1
    tasks = len({one.task for one in found})
    of = f"{tasks} tasks" + (" and all backbones" if several_backbones else "")
    return say("On average over {of}, of the test examples", of=of)


def _by_all(found: list[Errors]) -> Text:
    wrong = mean([one.wrong_by_all / one.n for one in found])
    right = mean([one.right_by_all / one.n for one in found])
    return say(
        "{where} {wrong} % are answered wrongly by every run and {right} % rightly: on those the choice of a method"
        " decides nothing.",
        where=_where(found),
        wrong=points(wrong),
        right=points(right),
    )


def _alike(found: list[Errors]) -> list[Text]:
    agreements = [one.agreement for one in found if one.agreement is not None]
    between, again = mean([one.between_families for one in agreements]), mean([one.between_seeds for one in agreements])
    if between != between:  # of one family alone
        return []
    what = say(
        "Two configurations of different families, trained with one seed, agree with κ = {between} [@cohen1960kappa]",
        between=decimal(between, 2),
    )
    if again != again:
        return [join([what, say("with one seed each, nothing says how much of that another seed would change.")], "; ")]
    seeds = say("one configuration agrees with itself under another seed with κ = {again}.", again=decimal(again, 2))
    if again - between >= APART:
        verdict = "What is answered thus depends on the family by more than training anew explains."
    else:
        verdict = (
            "Training anew changes the answers about as much as another family does, so that a single error says"
            " nothing of the family that made it."
        )
    return [join([what, seeds], "; "), say(verdict)]


def _votes(found: list[Errors]) -> list[Text]:
    votes = [one.vote for one in found if one.vote is not None]
    if not votes:
        return []
    said = [_one_vote(votes[0]) if len(votes) == 1 else _several_votes(votes)]
    again = [(vote.gain, vote.again) for vote in votes if vote.again is not None]
    if again:
        gain, own = mean([pair[0] for pair in again]), mean([pair[1] for pair in again])
        ending = (
            "no less, so that the gain is that of any vote and not of different families."
            if own >= gain
            else "which is less."
        )
        said.append(
            say(
                "A vote of that configuration's own seeds gains {own} points, {ending}", own=_signed(own), ending=ending
            )
        )
    return said


def _one_vote(vote: Vote) -> Text:
    return say(
        "A majority vote of {n} configurations, of each family the best on validation data, is right on {vote} % of the"
        " examples: {gain} points against the first of them alone, {first} [{low}, {high}].",
        n=numeral(len(vote.members)),
        vote=points(vote.vote.mean),
        gain=_signed(vote.gain),
        first=Code(vote.members[0]),
        low=_signed(vote.low),
        high=_signed(vote.high),
    )


def _several_votes(votes: list[Vote]) -> Text:
    return say(
        "A majority vote of configurations, of each family the best on validation data, gains {gain} points on average"
        " over the first of them alone; on {better} of {n} tasks its interval lies above zero, on {worse} below.",
        gain=_signed(mean([vote.gain for vote in votes])),
        better=sum(vote.low > 0 for vote in votes),
        worse=sum(vote.high < 0 for vote in votes),
        n=len(votes),
    )


def _caution() -> Text:
    return say(
        "Kappa takes out agreement by chance, not agreement by being right: accurate models agree however they work. It"
        " is to be held against that between seeds."
    )


def tables(analysis: Analysis) -> list[Table]:
    """A row per task, for each backbone."""
    found = judged(analysis)
    backbones = list(dict.fromkeys(one.backbone for one in found))
    made = []
    for position, backbone in enumerate(backbones):
        own = [one for one in found if one.backbone == backbone]
        key = keyed("errors", position, len(backbones))
        data = pd.DataFrame([_line(one) for one in own])
        caption = _caption(analysis.results.title("backbones", backbone), own)
        made.append(Table(key, caption, _COLUMNS, tuple(map(_row, own)), data, wide=True))
    return made


_COLUMNS = (
    Column("Task", "label"),
    Column("examples"),
    Column("wrong", group="By every run (%)"),
    Column("right", group="By every run (%)"),
    Column("seeds", group="κ between"),
    Column("a family", group="κ between"),
    Column("families", group="κ between"),
    Column("one", group="Right (%)"),
    Column("vote", group="Right (%)"),
    Column("gain (interval)", "label", group="Vote"),
    Column("of seeds", group="Vote"),
)


def _row(one: Errors) -> Row:
    agreed, vote = one.agreement, one.vote
    kappas = (agreed.between_seeds, agreed.within_families, agreed.between_families) if agreed else (None, None, None)
    cells: list[Any] = [one.task, Number(f"{one.n:,}", one.n, cells=one.cells)]
    cells += [Number(points(n / one.n), n / one.n) for n in (one.wrong_by_all, one.right_by_all)]
    cells += [_kappa(kappa) for kappa in kappas]
    if vote is None:
        return Row((*cells, None, None, None, None))
    cells += [Number(points(share.mean), share.mean, cells=vote.cells) for share in (vote.single, vote.vote)]
    cells.append(f"{_signed(vote.gain)} [{_signed(vote.low)}, {_signed(vote.high)}]")
    return Row((*cells, None if vote.again is None else Number(_signed(vote.again), vote.again)))


def _caption(backbone: str, own: Iterable[Errors]) -> Text:
    about_right = any(one.agreement is not None and not one.agreement.on_labels for one in own)
    what = say(
        "Answers to the test examples on {backbone}: shares that every run answers wrongly and rightly; mean Cohen's κ"
        " of one configuration under two seeds, and of two configurations of a family and of different families under"
        " one{right}; share of right answers of the configuration that is best on validation data and of a majority"
        " vote of one such per family, whose gain (points) has a {level} % interval for other examples and these very"
        " models, not corrected for the number of tasks; and what a vote of the one's own seeds gains.",
        backbone=backbone,
        right=" (where answers are no labels, of being right)" if about_right else "",
        level=f"{100 * LEVEL:.0f}",
    )
    return what


def _line(one: Errors) -> dict[str, Any]:
    agreed, vote = one.agreement, one.vote
    return {
        "backbone": one.backbone,
        "task": one.task,
        "examples": one.n,
        "wrong_by_all": one.wrong_by_all,
        "right_by_all": one.right_by_all,
        "kappa_between_seeds": agreed and agreed.between_seeds,
        "kappa_within_families": agreed and agreed.within_families,
        "kappa_between_families": agreed and agreed.between_families,
        "members": vote and " ".join(vote.members),
        "single": vote and vote.single.mean,
        "vote": vote and vote.vote.mean,
        "gain": vote and vote.gain,
        "low": vote and vote.low,
        "high": vote and vote.high,
        "gain_of_seeds": vote and vote.again,
        "seeds": vote and " ".join(map(str, vote.seeds)),
        "cells": " ".join(one.cells),
    }


def pairs(analysis: Analysis) -> list[Table]:
    """Who is right where another is wrong: a row per two families, for each backbone."""
    found = [one for one in judged(analysis) if one.agreement is not None]
    backbones = list(dict.fromkeys(one.backbone for one in found))
    columns = (
        Column("One", "label"),
        Column("Other", "label"),
        Column("κ"),
        *(Column(title, group="Right (%)") for title in ("both", "one alone", "other alone", "neither")),
    )
    made = []
    for position, backbone in enumerate(backbones):
        own = [one for one in found if one.backbone == backbone]
        means, _ = over_tasks([one.agreement for one in own if one.agreement is not None])
        rows: list[Row] = []
        before = ""
        for pair in means:
            shares = (pair.both_right, pair.first_alone, pair.second_alone, pair.both_wrong)
            numbers = tuple(Number(points(share), share) for share in shares)
            rows.append(Row((pair.first, pair.second, _kappa(pair.kappa), *numbers), gap=pair.first != before))
            before = pair.first
        data = [
            {"backbone": backbone, "task": one.task, **vars(pair), "cells": " ".join(one.cells)}
            for one in own
            if one.agreement is not None
            for pair in one.agreement.pairs
        ]
        caption = say(
            "Who is right where another is wrong, on {backbone}: of two configurations of these families under one seed"
            " the shares of test examples that both, one alone and neither answer rightly; means over {n}.",
            backbone=analysis.results.title("backbones", backbone),
            n=several(len(own), "task"),
        )
        made.append(Table(keyed("alone", position, len(backbones)), caption, columns, tuple(rows), pd.DataFrame(data)))
    return made


def _kappa(value: float | None) -> Number | None:
    return None if value is None or value != value else Number(decimal(value, 2), value)


def _signed(value: float) -> str:
    return points(value, signed=True)
