"""The scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.scores import BackboneScores, SeedSpread, TaskScores
from reports.drawing import heatmap
from reports.model.document import Code, Column, Part, Ref, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import named_metric, named_scores, number, numeral, plural, points, score
from reports.results import Results, select
from reports.scales import UNDEFINED
from reports.sections.rows import Cell, by_family, data_line, labels_on, named, over_seeds, shown, unit_of, usual_n

PLACE = "results"
ORDER = 10

# Wider tables are cut into several.
TASKS_PER_TABLE = 6
# As many sentences stand on a slide.
SENTENCES_SHOWN = 2


def part(analysis: Analysis, prose: Prose) -> Part:
    """Means and spreads: who is lowest and highest on each task, and what seeds do."""
    said = [sentences(analysis, of) for of in analysis.scores]
    made = ranked(tables(analysis), 0)
    blocks = shown(said, [*made, *ranked(heatmap.figures(analysis), 52)])
    points = [sentence for of in said for sentence in of][:SENTENCES_SHOWN]
    slides = tuple(Slide("Scores", tuple(points), table, 40) for table in made[:1])
    return Part(Section("scores", "Scores", (*shown([left_out(analysis)], []), *blocks)), slides)


def left_out(analysis: Analysis) -> list[Text]:
    """What the main part leaves out, where it does."""
    results, topic = analysis.everything.results, analysis.topic
    left = len(results.labels) - len(analysis.results.labels)
    if not left:
        return []
    sentence = (
        "The tables of this part show the {family} family, the baselines, and of every other family the configuration"
        " with the {highest} mean validation score; the other {left} are in [sec:all]."
    )
    return [say(sentence, family=topic.family, highest=results.highest, left=numeral(left))]


def sentences(analysis: Analysis, of: BackboneScores) -> list[Text]:
    """Of one backbone: the range of the means per task, those of the topic's family, and the spread over seeds."""
    results = analysis.results
    said = [say("{backbone}.", backbone=results.title("backbones", of.backbone))] if len(results.backbones) > 1 else []
    said += [_on_task(analysis, task) for task in of.tasks]
    if of.spread:
        said.append(_over_seeds(of.spread))
    elif of.in_points and not analysis.shares:
        said.append(say("Every cell ran with one seed: nothing here tells a difference from noise."))
    return said


def _on_task(analysis: Analysis, of: TaskScores) -> Text:
    results, means, task = analysis.results, of.means, of.task
    scale = results.scale(task)
    if len(means) == 1:
        sentence = "On {task} only {label} has a score: {mean}."
        return say(sentence, task=Code(task), label=Code(of.lowest), mean=score(means[of.lowest], scale, unit=True))
    own = {label: mean for label, mean in means.items() if results.family_of(label) == analysis.topic.family}
    family = say(
        "; of the {family} family: {own}", family=analysis.topic.family, own=named(own, partial(score, scale=scale))
    )
    return say(
        "On {task} the mean test {metric} runs from {low} ({lowest}) to {high} ({highest}){less}{family}.",
        task=Code(task),
        metric=results.metric(task),
        low=score(means[of.lowest], scale),
        lowest=Code(of.lowest),
        high=score(means[of.highest], scale, unit=True),
        highest=Code(of.highest),
        less="" if scale.higher_is_better else ", of which less is better",
        family=family if own else "",
    )


def _over_seeds(spread: SeedSpread) -> Text:
    return say(
        "The standard deviation over seeds lies between {least} and {greatest} points (median {median}): gaps of that"
        " size between neighbouring means say little by themselves.",
        least=points(spread.least),
        greatest=points(spread.greatest),
        median=points(spread.median),
    )


def tables(analysis: Analysis) -> list[Table]:
    """Mean test score ± standard deviation, a row per method and a column per task; per backbone."""
    parts = [
        (of.backbone, [each.task for each in of.tasks[start : start + TASKS_PER_TABLE]])
        for of in analysis.scores
        for start in range(0, len(of.tasks), TASKS_PER_TABLE)
    ]
    return [
        _table(analysis, backbone, tasks, keyed("scores", position, len(parts)))
        for position, (backbone, tasks) in enumerate(parts)
    ]


def _table(analysis: Analysis, backbone: str, tasks: Sequence[str], key: str) -> Table:
    results = analysis.results
    cells = select(results.scored, backbone=backbone)
    usual = usual_n(cells[cells["task"].isin(tasks)])
    lost = select(results.cells, backbone=backbone, status=UNDEFINED)
    lost = lost[lost["task"].isin(tasks)]
    undefined = set(zip(lost["label"], lost["task"], strict=True))
    data: list[dict[str, Any]] = []

    def row(label: str) -> tuple[Cell, ...]:
        row: list[Cell] = []
        for task in tasks:
            summary, ids = analysis.scored.of("score", backbone, task, label)
            scale = results.scale(task)
            shown = number(summary, scale.unit, ids, usual)
            row.append(shown or (UNDEFINED if (label, task) in undefined else None))
            raw = summary._replace(mean=scale.raw(summary.mean))
            data.append(data_line(backbone, label, task, results.metric(task), unit_of(scale), raw, ids))
        return tuple(row)

    rows = by_family(results, labels_on(results, backbone), row)
    later = _computed_later(int(cells[cells["task"].isin(tasks)].index.isin(analysis.limits.later_scores).sum()))
    caption = join([_caption(results, backbone, tasks, usual, len(lost)), later])
    return Table(key, caption, _columns(results, tasks), rows, pd.DataFrame(data), wide=len(tasks) > 2)


def _computed_later(n: int) -> Text:
    were = "was" if n == 1 else "were"
    said = "{scores} {were} computed from kept predictions after the run."
    return say(said, scores=plural(n, "score").capitalize(), were=were) if n else ()


def _columns(results: Results, tasks: Sequence[str]) -> tuple[Column, ...]:
    """The metric stands above a task where there are several, with its scale where those differ."""
    scales = {task: results.scale(task) for task in tasks}
    metrics = {task: named_metric(results.metric(task), scale) for task, scale in scales.items()}
    heads: dict[str, str | None] = dict(metrics)
    if all(scale.in_points and scale.higher_is_better for scale in scales.values()):
        heads = {task: results.metric(task) for task in tasks}
    if len(set(metrics.values())) == 1:
        heads = dict.fromkeys(tasks)
    return (Column("Method", "label"), *(Column(task, group=heads[task]) for task in tasks))


def _caption(results: Results, backbone: str, tasks: Sequence[str], usual: int, lost: int) -> Text:
    metrics = {named_metric(results.metric(task), results.scale(task)) for task in tasks}
    what = metrics.pop() if len(metrics) == 1 else named_scores(results, list(tasks))
    gone = f"; {lost} undefined score{'s are' if lost > 1 else ' is'} in no mean" if lost else ""
    first = say(
        "Test {what}{gone}, mean ± sample standard deviation over {n}; backbone {backbone}.",
        what=what,
        gone=gone,
        n=over_seeds(usual),
        backbone=results.title("backbones", backbone),
    )
    where = say("Which differences can be told from noise is the subject of {table}.", table=Ref("tab:differences"))
    return join([first, say("No value is set in bold."), where if results.reference else ()])
