"""Which examples are answered wrongly: by their length, by their class, and one by one with their texts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.errors import Errors, Slice
from reports.analysis.examples import Example
from reports.drawing.style import families_in
from reports.model.document import Code, Column, Number, Part, Row, Section, Table, Text, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import decimal, points, shorten
from reports.results import Results
from reports.sections.rows import shown

PLACE = "results"
ORDER = 63

RANK = 22
# Of more tasks and classes than these, the tables show the first; the CSV files have all.
TASKS, CLASSES = 4, 6
# Letters of a text in the table of examples, and rows of each kind for a task.
LETTERS, HARDEST = 160, 3


def part(analysis: Analysis, prose: Prose) -> Part:
    """Tables of slices and of examples."""
    found = analysis.everything.errors
    if not found:
        return Part()
    blocks = ranked([*slices(analysis), *hardest(analysis)], RANK)
    said = [[*_lengths(found), *_alone(found)]]
    return Part(Section("examples", "Which examples are hard", shown(said, blocks)))


def _lengths(found: list[Errors]) -> list[Text]:
    """On how many tasks the longest quarter is harder than the shortest, for all families."""
    told = [one for one in found if one.judged and len(_of(one, "length")) > 1]
    if not told:
        return []
    gaps = []
    for one in told:
        parts = _of(one, "length")
        gaps.append([parts[-1].families[family] - parts[0].families[family] for family in one.families])
    worse = sum(all(gap < 0 for gap in own) for own in gaps)
    better = sum(all(gap > 0 for gap in own) for own in gaps)
    if len(told) == 1:
        which = "worse" if worse else "better" if better else "worse for some families and better for others"
        sentence = "On {task} the longest quarter of the test examples is answered {which} than the shortest{all}."
        every = "" if not worse and not better else " by every family"
        return [say(sentence, task=Code(told[0].task), which=which, all=every)]
    sentence = (
        "The longest quarter of the test examples is answered worse than the shortest by every family on {worse} of {n}"
        " tasks, and better by every family on {better}."
    )
    return [say(sentence, worse=worse, better=better, n=len(told))]


def _alone(found: list[Errors]) -> list[Text]:
    wrong = {
        family: sum(one.wrong_alone.get(family, 0) for one in found) for one in found for family in one.wrong_alone
    }
    if not wrong:
        return []
    first = max(wrong, key=lambda family: wrong[family])
    right = sum(one.right_alone.get(first, 0) for one in found)
    return [
        say(
            "The family that most often errs alone is {first}: on {wrong} examples it is wrong where every other is"
            " right, on {right} it alone is right.",
            first=first,
            wrong=wrong[first],
            right=right,
        ),
        say("A family that scores lower errs alone more often for that reason by itself."),
    ]


def _of(one: Errors, kind: str) -> list[Slice]:
    return [part for part in one.slices if part.kind == kind]


def slices(analysis: Analysis) -> list[Table]:
    """Shares of right answers (or mean scores) by length and class, a column per family."""
    results, found = analysis.results, analysis.everything.errors
    told = [one for one in found if one.slices]
    if not told:
        return []
    families = families_in({family for one in told for family in one.families})
    several = len({one.backbone for one in told}) > 1
    columns = (
        Column("Task", "label"),
        Column("Examples", "label"),
        Column("n"),
        *(Column(family, group="Mean of the family") for family in families),
    )
    rows: list[Row] = []
    for one in told[:TASKS]:
        name = f"{one.task} ({one.backbone})" if several else one.task
        for i, part_ in enumerate([*_of(one, "length"), *_of(one, "class")[:CLASSES]]):
            values = (_value(results, one, part_.families.get(family)) for family in families)
            count = Number(f"{part_.n:,}", part_.n)
            rows.append(Row((name if not i else "", _named(part_), count, *values), gap=not i))
    data = [
        {"backbone": one.backbone, "task": one.task, "kind": part_.kind, "slice": _named(part_), "examples": part_.n,
         "label": label, "value": value}
        for one in told
        for part_ in one.slices
        for label, value in part_.values.items()
    ]  # fmt: skip
    return [Table("slices", _caption(told), columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _named(part_: Slice) -> str:
    if part_.kind == "class":
        return part_.name
    return f"{part_.low}–{part_.high} tokens" if part_.low != part_.high else f"{part_.low} tokens"


def _value(results: Results, one: Errors, value: float | None) -> Number | None:
    if value is None or value != value:
        return None
    return Number(_written(results, one, value), value)


def _written(results: Results, one: Errors, value: float) -> str:
    """As a share of right answers, or as the metric has it."""
    scale = results.scale(one.task)
    return points(value) if one.judged or scale.in_points else decimal(value, scale.decimals)


def _caption(told: list[Errors]) -> Text:
    what = say(
        "Share of right answers (%; where answers are more or less good, the mean of the metric) by the length of the"
        " test examples, in quarters, and by their class: means over configurations and seeds of a family."
    )
    left = len(told) - TASKS
    return join([what, say("The first {n} of {all} tasks.", n=TASKS, all=len(told)) if left > 0 else ()])


def hardest(analysis: Analysis) -> list[Table]:
    """Examples that all get wrong, and on which one family stands alone; where texts were kept."""
    told = [one for one in analysis.everything.errors if any(example.text for example in one.examples)]
    if not told:
        return []
    columns = (
        Column("Task", "label"),
        Column("Example", "text", share=0.42),
        Column("Expected", "text", share=0.12),
        Column("Who errs", "text", share=0.24),
    )
    rows: list[Row] = []
    for one in told[:TASKS]:
        for i, (example, who) in enumerate(_chosen(one)):
            text = shorten(example.text, LETTERS)
            rows.append(Row((one.task if not i else "", text, shorten(example.expected, 40), who), gap=not i))
    data = [_line(one, example) for one in told for example in one.examples]
    caption = say(
        "The hardest test examples: of each task up to {n} that the most runs answer wrongly, and for each family one"
        " on which it alone is wrong, and one on which it alone is right. Texts are cut. They were looked at after all"
        " training: nothing here may choose a method for these test sets.",
        n=HARDEST,
    )
    return [Table("hard-examples", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _chosen(one: Errors) -> list[tuple[Example, str]]:
    found: list[tuple[Example, str]] = []
    for example in one.examples[:HARDEST]:
        said = "all runs" if example.wrong_by_all else f"{points(1 - example.value)} % of runs" if one.judged else ""
        found.append((example, said))
    for family in one.families:
        wrong = next((example for example in one.examples if example.wrong_alone == family), None)
        right = next((example for example in one.examples if example.right_alone == family), None)
        found += [(wrong, f"{family} alone, with “{wrong.said[family].answer}”")] if wrong else []
        found += [(right, f"all but {family}")] if right else []
    return found


def _line(one: Errors, example: Example) -> dict[str, Any]:
    said = {f"{family}_{what}": value for family, each in example.said.items()
            for what, value in (("answer", each.answer), ("value", each.value))}  # fmt: skip
    return {
        "backbone": one.backbone,
        "task": one.task,
        "example": example.id,
        "text": example.text,
        "expected": example.expected,
        "value": example.value,
        "wrong_alone": example.wrong_alone,
        "right_alone": example.right_alone,
        "wrong_by_all": example.wrong_by_all,
        **said,
    }
