"""Differences to full fine-tuning: which of them can be told from noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.statistics import ALPHA, MIN_PAIRS, Summary
from reports.model.document import Code, Column, Number, Part, Ref, Row, Section, Slide, Table, Text
from reports.model.prose import Prose, each, join, say
from reports.model.writing import number, p_value, plural, points, score
from reports.results import Results
from reports.scales import Scale
from reports.sections.rows import Cell, data_line, over_seeds, paragraphs, unit_of

PLACE = "results"
ORDER = 20

# As many sentences stand on a slide.
SENTENCES_SHOWN = 4


def part(analysis: Analysis, prose: Prose) -> Part:
    """What the paired tests show, or why there are none."""
    made = tables(analysis)
    slide = Slide(
        "Is a difference a difference?",
        tuple(sentences(analysis)[:SENTENCES_SHOWN]),
        order=70,
        words="Which gap would matter in practice?",
    )
    backup = tuple(Slide("Differences to full fine-tuning", (_what(analysis),), one, 10) for one in made)
    said = paragraphs([sentences(analysis, where=(Ref("tab:differences"),))])
    return Part(Section("differences", "Differences to full fine-tuning", (*said, *made)), (slide,), backup)


def sentences(analysis: Analysis, where: Text = ()) -> list[Text]:
    """`where` is a reference to the table, in a document that numbers its tables."""
    reference = analysis.results.reference
    if reference is None:
        return [say("The suite has no full fine-tuning, so that no method is compared with a common reference here.")]
    if not analysis.contrasts:
        sentence = "No method shares a scored cell with {reference}: nothing can be compared pair by pair."
        return [say(sentence, reference=Code(reference))]
    said = _tests(analysis, reference, where) if analysis.tested.tested else _no_tests(analysis, reference, where)
    return said + _seeds_needed(analysis)


def _no_tests(analysis: Analysis, reference: str, where: Text) -> list[Text]:
    observed = say(
        "The differences to {reference}{where} are paired by seed and given as observed.",
        reference=Code(reference),
        where=say(" ({table})", table=where) if where else (),
    )
    if analysis.tested.pairs >= MIN_PAIRS:
        return [observed, say("None is tested: they do not vary over seeds.")]
    why = say(
        "With {seeds} in common we test none of them: below {least} pairs a test has next to no power, and a p-value"
        " would suggest more than the data hold.",
        seeds=plural(analysis.tested.pairs, "seed"),
        least=MIN_PAIRS,
    )
    return [observed, why]


def _tests(analysis: Analysis, reference: str, where: Text) -> list[Text]:
    found, results = analysis.tested, analysis.results
    real = found.shown
    which = each(
        (say("{label} on {task} ({by})", label=Code(c.label), task=Code(c.task), by=_signed(results, c)) for c in real),
        last=", ",
    )
    said = [
        say(
            "Of {n} paired tests against {reference} ({where}two-sided t-test, Holm-corrected, α = {alpha}), {shown}"
            " {show} a difference{which}.",
            n=found.tested,
            reference=Code(reference),
            where=say("{table}; ", table=where) if where else (),
            alpha=str(ALPHA),
            shown=len(real),
            show="shows" if len(real) == 1 else "show",
            which=say(": {which}", which=which) if real else (),
        )
    ]
    if rest := found.tested - len(real):
        sentence = "For the other {rest} no difference could be shown, which is not evidence that there is none."
        said.append(say(sentence, rest=rest))
    return said


def _signed(results: Results, contrast: Contrast) -> str:
    """A difference, and where less is better also whether it is one for the better."""
    scale, mean = results.scale(contrast.task), contrast.comparison.mean
    better = "" if scale.higher_is_better else ", better" if mean > 0 else ", worse"
    return f"{score(mean, scale, signed=True)}{better}"


def _seeds_needed(analysis: Analysis) -> list[Text]:
    sd, seeds = analysis.tested.sd, analysis.tested.seeds
    if sd is None:
        return []
    return [
        say(
            "Given the median standard deviation of the paired differences, {sd} points, such a test needs about"
            " {seeds} seeds to find a difference of one point with 80\u00a0% power (before correction for their"
            " number).",
            sd=points(sd),
            seeds=seeds or "more than 1,000",
        )
    ]


def tables(analysis: Analysis) -> list[Table]:
    """Paired differences to the reference, with Holm's p where a test is made; nothing where there is none."""
    results, contrasts = analysis.results, analysis.contrasts
    if not contrasts:
        return []
    tested = analysis.tested.tested > 0
    several = len({c.backbone for c in contrasts}) > 1
    tasks = _tasks(analysis)
    usual = _usual(contrasts)
    at = {(c.backbone, c.label, c.task): c for c in contrasts}
    columns = [Column("Method", "label")]
    for task in tasks:
        columns += [Column("difference", group=task), Column("p", group=task)] if tested else [Column(task)]
    rows: list[Row] = []
    for backbone in results.backbones:
        for label in results.labels:
            if any((backbone, label, task) in at for task in tasks):
                cells: list[Cell] = [f"{label} ({backbone})" if several else label]
                for task in tasks:
                    cells += _cells(at.get((backbone, label, task)), results.scale(task), usual, tested)
                rows.append(Row(tuple(cells)))
    data = pd.DataFrame([_line(results, c) for c in _in_order(results, contrasts)])
    wide = len(columns) > 3
    return [Table("differences", _caption(analysis, tested), tuple(columns), tuple(rows), data, wide)]


def _tasks(analysis: Analysis) -> list[str]:
    compared = {contrast.task for contrast in analysis.contrasts}
    return [task for task in analysis.results.tasks if task in compared]


def _usual(contrasts: Sequence[Contrast]) -> int:
    """The commonest number of pairs."""
    return Counter(contrast.comparison.n for contrast in contrasts).most_common(1)[0][0]


def _in_order(results: Results, contrasts: Sequence[Contrast]) -> list[Contrast]:
    """As the rows of the table are."""
    backbones, labels, tasks = results.backbones, results.labels, results.tasks
    places = {c: (backbones.index(c.backbone), labels.index(c.label), tasks.index(c.task)) for c in contrasts}
    return sorted(contrasts, key=places.__getitem__)


def _cells(contrast: Contrast | None, scale: Scale, usual: int, tested: bool) -> list[Cell]:
    if contrast is None:
        return [None, None] if tested else [None]
    adjusted = contrast.adjusted
    difference = number(contrast.comparison, scale.unit, contrast.ids, usual, signed=True)
    p = None if adjusted is None else Number(p_value(adjusted), adjusted, cells=contrast.ids)
    return [difference, p] if tested else [difference]


def _line(results: Results, contrast: Contrast) -> dict[str, Any]:
    found, scale = contrast.comparison, results.scale(contrast.task)
    measure = f"difference to {results.reference}"
    summary = Summary(scale.raw(found.mean), found.sd, found.n)
    where = (contrast.backbone, contrast.label, contrast.task)
    line = data_line(*where, measure, unit_of(scale), summary, contrast.ids)
    return line | {"p": found.p, "p_holm": contrast.adjusted}


def _what(analysis: Analysis) -> Text:
    """The caption's first sentence, which a slide shows as well."""
    return say(
        "Difference to {reference}{unit}, paired by seed: mean ± sample standard deviation of the differences over"
        " {n}.",
        reference=Code(analysis.results.reference or ""),
        unit=_unit(analysis.results, _tasks(analysis)),
        n=over_seeds(_usual(analysis.contrasts)),
    )


def _caption(analysis: Analysis, tested: bool) -> Text:
    if not tested and analysis.tested.pairs >= MIN_PAIRS:
        return join([_what(analysis), say("No p-values: the differences do not vary over seeds.")])
    if not tested:
        sentence = "No p-values: with fewer than {least} seeds in common a test would have next to no power."
        return join([_what(analysis), say(sentence, least=MIN_PAIRS)])
    sentence = (
        "p: two-sided paired t-test, corrected by Holm over the {n} tests of the run; fewer than {least} pairs are not"
        " tested (–)."
    )
    return join([_what(analysis), say(sentence, n=analysis.everything.tested.tested, least=MIN_PAIRS)])


def _unit(results: Results, tasks: Sequence[str]) -> str:
    """ " in points"; for other scales also which sign is the better one."""
    scales = {task: results.scale(task) for task in tasks}
    less = [task for task, scale in scales.items() if not scale.higher_is_better]
    said = [] if all(scale.in_points for scale in scales.values()) else ["of fractions; else in the metric's own unit"]
    said += [f"below zero is better on {listing(less)}"] if less else []
    return " in points" + (f" ({'; '.join(said)})" if said else "")
