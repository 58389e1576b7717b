"""Differences to full fine-tuning: which of them can be told from noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.decisions import MOST_EXAMPLES, MOST_SEEDS
from reports.analysis.statistics import ALPHA, MIN_PAIRS, Summary
from reports.model import verdict_words
from reports.model.document import Code, Column, Number, Part, Ref, Row, Section, Slide, Table, Text
from reports.model.prose import Prose, each, join, say
from reports.model.writing import number, numeral, plural, points, score
from reports.results import Results
from reports.scales import Scale
from reports.sections.rows import Cell, data_line, over_seeds, paragraphs, unit_of

PLACE = "results"
ORDER = 20

# As many sentences stand on a slide.
SENTENCES_SHOWN = 4
# As many differences are named for each word.
NAMED = 10
UNDECIDED = "undecided"
ROWS = 20
SPARE = 10
# Behind a verdict that holds of these models, and not of other seeds.
OF_MODELS = "†"


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
    if not analysis.tested.contrasts:
        said = [*_no_tests(analysis, reference, where), *_seeds_needed(analysis)]
    else:
        said = [*_verdicts(analysis, reference, where), *_undecided(analysis, where)]
    return said + _over_tasks(analysis, reference)


def _no_tests(analysis: Analysis, reference: str, where: Text) -> list[Text]:
    observed = say(
        "The differences to {reference}{where} are paired by seed and given as observed.",
        reference=Code(reference),
        where=say(" ({table})", table=where) if where else (),
    )
    if analysis.tested.pairs >= MIN_PAIRS:
        return [observed, say("None is tested: they do not vary over seeds.")]
    why = say(
        "With {seeds} in common, and no predictions kept, we test none of them: below {least} pairs a test has next to"
        " no power, and a p-value would suggest more than the data hold.",
        seeds=plural(analysis.tested.pairs, "seed"),
        least=MIN_PAIRS,
    )
    return [observed, why]


def _verdicts(analysis: Analysis, reference: str, where: Text) -> list[Text]:
    """How many there are, and then which."""
    found = analysis.tested
    untested = len(analysis.contrasts) - len(found.contrasts)
    left = [f"{numeral(len(found.undecided))} undecided"] if found.undecided else []
    left += [f"{numeral(untested)} not tested"] if untested else []
    said = [
        say(
            "Of {n} to {reference}{where}, {decided} {are} decided{left}.",
            n=plural(len(analysis.contrasts), "difference"),
            reference=Code(reference),
            where=say(" ({table})", table=where) if where else (),
            decided=numeral(len(found.decided)),
            are="is" if len(found.decided) == 1 else "are",
            left=f", {listing(left)}" if left else "",
        )
    ]
    for population, of in verdict_words.POPULATIONS.items():
        for word in verdict_words.WORDS:
            own = [
                c
                for c in found.decided
                if c.decision and (c.decision.word, c.decision.population) == (word, population)
            ]
            if own:
                sentence = "{word} {of}: {which}."
                said.append(say(sentence, word=word.capitalize(), of=of, which=_named(analysis.results, own)))
    return said


def _named(results: Results, contrasts: Sequence[Contrast]) -> Text:
    """Which they are, the first of many."""
    shown = [
        say("{label} on {task} ({by})", label=Code(c.label), task=Code(c.task), by=_signed(results, c))
        for c in contrasts[:NAMED]
    ]
    more = len(contrasts) - len(shown)
    return (*each(shown, last=", " if more else " and "), *((f" and {more} more",) if more else ()))


def _undecided(analysis: Analysis, where: Text) -> list[Text]:
    """What would decide the rest."""
    found = analysis.tested
    said = []
    if found.undecided:
        said.append(say("What is undecided is no evidence that there is no difference."))
    if all(decision.population == "seeds" for decision in found.decisions):
        return said + _seeds_needed(analysis)
    if found.planned:
        nearest, decision = found.planned[0]
        decides = say(
            "{of}, {more}more examples with these seeds would decide {n} more (with 80\u00a0% power, if differences are"
            " what they seem): the nearest, {label} on {task}, {needed}{where}.",
            more="" if decision.seeds is None else "more seeds with these examples or ",
            of=_capital(verdict_words.POPULATIONS[decision.population]),
            n=numeral(len(found.planned)),
            label=Code(nearest.label),
            task=Code(nearest.task),
            needed=verdict_words.needed(decision),
            where=say("; for the others see {table}", table=Ref(f"tab:{UNDECIDED}")) if where else (),
        )
        said.append(decides)
    return said


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _over_tasks(analysis: Analysis, reference: str) -> list[Text]:
    """Whether it is so on other tasks too."""
    found = analysis.over_tasks
    if not found:
        return []
    decided = [each for each in found if each.decision.decided]
    which = join(
        (say("{label} is {word}", label=Code(each.label), word=each.decision.word) for each in decided[:NAMED]), ", "
    )
    return [
        say(
            "Over {tasks} tasks, taken as a sample of tasks, the verdicts on mean differences to {reference} are:"
            " {tally}{which}.",
            tasks=max(len(each.tasks) for each in found),
            reference=Code(reference),
            tally=verdict_words.tally(each.decision for each in found),
            which=say(" ({which})", which=which) if decided else (),
        )
    ]


def _signed(results: Results, contrast: Contrast) -> str:
    return score(contrast.comparison.mean, results.scale(contrast.task), signed=True)


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
    """Paired differences to the reference with their verdicts, and what would decide those that are undecided; nothing
    where there is none."""
    results, contrasts = analysis.results, analysis.contrasts
    if not contrasts:
        return []
    tested = bool(analysis.tested.contrasts)
    several = len({c.backbone for c in contrasts}) > 1
    tasks = _tasks(analysis)
    usual = _usual(contrasts)
    at = {(c.backbone, c.label, c.task): c for c in contrasts}
    columns = [Column("Method", "label")]
    for task in tasks:
        both = [Column("difference", group=task), Column("verdict", "label", group=task)]
        columns += both if tested else [Column(task)]
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
    made = Table("differences", _caption(analysis, tested), tuple(columns), tuple(rows), data, wide)
    return [made, *_what_would_decide(analysis, several)]


def _what_would_decide(analysis: Analysis, several: bool) -> list[Table]:
    """The nearest of those that are undecided about the widest population."""
    results, planned = analysis.results, analysis.tested.planned
    if not planned:
        return []
    columns = ("difference", "95 % interval", "seeds", "examples")
    rows = []
    for contrast, decision in planned[:ROWS]:
        scale = results.scale(contrast.task)
        name = f"{contrast.label} ({contrast.backbone})" if several else contrast.label
        effect = Number(score(decision.effect, scale, signed=True), scale.raw(decision.effect), cells=contrast.ids)
        low, high = (score(bound, scale, signed=True) for bound in sorted(decision.interval, key=scale.shown))
        seeds = None if decision.seeds is None else f"{decision.seeds:,}"
        examples = None if decision.examples is None else verdict_words.about(decision.examples)
        rows.append(Row((name, contrast.task, effect, f"{low} to {high}", seeds, examples)))
    caption = say(
        "What would decide differences {of}{nearest}, if they are what they seem: so many seeds with these examples, or"
        " examples with these seeds, with 80\u00a0% power at Holm's present level; – where none up to {seeds} and"
        " {examples} would.",
        of=verdict_words.POPULATIONS[planned[0][1].population],
        nearest=f" (the nearest {ROWS} of {len(planned)})" if len(planned) > ROWS else "",
        seeds=MOST_SEEDS,
        examples=MOST_EXAMPLES,
    )
    heads = (Column("Method", "label"), Column("Task", "label"), *(Column(title) for title in columns))
    data = pd.DataFrame([_line(results, contrast) for contrast, _ in planned])
    return [Table(UNDECIDED, caption, heads, tuple(rows), data, wide=True, spare=SPARE)]


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
    difference = number(contrast.comparison, scale.unit, contrast.ids, usual, signed=True)
    return [difference, _word(contrast)] if tested else [difference]


def _word(contrast: Contrast) -> str | None:
    """With a mark where it holds of these models, and others were asked about."""
    decision = contrast.decision
    if decision is None:
        return None
    narrower = decision.population == "examples" and len(contrast.decisions) > 1
    return f"{decision.word}{OF_MODELS if narrower else ''}"


def _line(results: Results, contrast: Contrast) -> dict[str, Any]:
    found, scale = contrast.comparison, results.scale(contrast.task)
    measure = f"difference to {results.reference}"
    summary = Summary(scale.raw(found.mean), found.sd, found.n)
    where = (contrast.backbone, contrast.label, contrast.task)
    decision = contrast.decision
    adjusted = None if decision is None else decision.difference
    line = data_line(*where, measure, unit_of(scale), summary, contrast.ids) | {"p": found.p, "p_holm": adjusted}
    if decision is None:
        return line | {"verdict": "not tested"}
    low, high = sorted(scale.raw(bound) for bound in decision.interval)
    return line | {
        "verdict": decision.word,
        "population": decision.population,
        "low": low,
        "high": high,
        "margin": decision.margin,
        "p_holm_equivalence": decision.equivalence,
        "seeds_needed": decision.seeds,
        "examples_needed": decision.examples,
    }


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
        return join([_what(analysis), say("No verdicts: the differences do not vary over seeds.")])
    if not tested:
        sentence = (
            "No verdicts: without predictions and with fewer than {least} seeds in common, a test would have next to no"
            " power."
        )
        return join([_what(analysis), say(sentence, least=MIN_PAIRS)])
    said = [
        say("Verdicts hold {where}.", where=_populations(analysis)),
        say(
            "Better and worse by two-sided tests, practically equal (within {margins}) by two one-sided tests, each"
            " corrected by Holm over the {n} pairs of the run, α = {alpha}.",
            margins=_margins(analysis),
            n=len(analysis.everything.tested.contrasts),
            alpha=str(ALPHA),
        ),
    ]
    rest = len(analysis.contrasts) - len(analysis.tested.contrasts)
    sentence = "Without predictions, fewer than {least} seeds are not tested (–)."
    return join([_what(analysis), *said, *([say(sentence, least=MIN_PAIRS)] if rest else [])])


def _populations(analysis: Analysis) -> str:
    """ "on other examples and seeds; those marked †, for these models on other examples"."""
    words = verdict_words.POPULATIONS
    asked = {each.population for contrast in analysis.tested.contrasts for each in contrast.decisions}
    if asked == {"examples"}:
        return words["examples"]
    marked = f"those marked {OF_MODELS}, "
    there = [name for name in words if name in asked]
    return "; ".join(f"{marked if name == 'examples' else ''}{words[name]}" for name in there)


def _margins(analysis: Analysis) -> str:
    """ "1 point", with the tasks of which it is another where there are some."""
    found: dict[str, list[str]] = {}
    for contrast in analysis.tested.contrasts:
        if contrast.decision is not None:
            said = verdict_words.margin(contrast.decision, analysis.results.scale(contrast.task))
            found.setdefault(said, []).append(contrast.task)
    if len(found) == 1:
        return next(iter(found))
    return listing([f"{said} on {listing(list(dict.fromkeys(tasks)))}" for said, tasks in found.items()])


def _unit(results: Results, tasks: Sequence[str]) -> str:
    """ " in points"; for other scales also which sign is the better one."""
    scales = {task: results.scale(task) for task in tasks}
    less = [task for task, scale in scales.items() if not scale.higher_is_better]
    said = [] if all(scale.in_points for scale in scales.values()) else ["of fractions; else in the metric's own unit"]
    said += [f"below zero is better on {listing(less)}"] if less else []
    return " in points" + (f" ({'; '.join(said)})" if said else "")
