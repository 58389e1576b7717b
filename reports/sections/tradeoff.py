"""Score against trainable parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.fronts import Point
from reports.analysis.statistics import MIN_PAIRS
from reports.drawing import tradeoff as drawing
from reports.model.document import Code, Figure, Part, Section, Slide, Table, Text, ranked
from reports.model.prose import Prose, say
from reports.sections import front_tables
from reports.sections.rows import TASKS_IN_PROSE, shown

PLACE = "results"
ORDER = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    """Who is on the Pareto front of mean score and trainable parameters."""
    said = [sentences for points in analysis.tradeoff.values() if (sentences := _front(analysis, points))]
    made = ranked(drawing.figures(analysis), 0)
    states = ranked(front_tables.by_task(analysis), 35)
    title = "Score against trained parameters"
    points = (said[0][-1],) if said else ()
    slides = tuple(Slide(title, points, figure, 50, minutes=1.5) for figure in made[:1])
    blocks: list[Table | Figure] = [*made, *states]
    return Part(Section("tradeoff", "Score against trainable parameters", shown(said, blocks)), slides)


def _front(analysis: Analysis, points: Sequence[Point]) -> list[Text]:
    tasks = list(dict.fromkeys(point.task for point in points))
    if len(tasks) > TASKS_IN_PROSE:
        said = [_how_often(analysis, points, len(tasks))]
    else:
        panels = {task: [point for point in points if point.task == task] for task in tasks}
        said = [_on_task(task, panel) for task, panel in panels.items() if len(panel) > 1]
    return [*said, _certainty(points)] if said else []


def _how_often(analysis: Analysis, points: Sequence[Point], tasks: int) -> Text:
    often = Counter(point.label for point in points if point.on_front)
    return say(
        "On the Pareto front of mean score and trainable parameters, with the number of tasks out of {tasks}:"
        " {counts}.",
        tasks=tasks,
        counts=listing([f"{label} ({often[label]})" for label in analysis.results.labels if often[label]]),
    )


def _on_task(task: str, panel: Sequence[Point]) -> Text:
    front = sorted((point for point in panel if point.on_front), key=lambda point: point.parameters)
    return say(
        "On {task} {front} of {all} methods lie on the Pareto front of mean score and trainable parameters: {labels}.",
        task=Code(task),
        front=len(front),
        all=len(panel),
        labels=listing([point.label for point in front]),
    )


def _certainty(points: Sequence[Point]) -> Text:
    """How much of that front is shown, where anything is tested."""
    states = Counter(point.state for point in points if point.state)
    if not states:
        return say(
            "The front is decided by means alone and inherits their noise: to test it takes the outcomes of test"
            " examples, or {seeds} seeds.",
            seeds=MIN_PAIRS,
        )
    return say(
        "The front of the means inherits their noise: of {all} points {on} are shown to be on the front and {off} to be"
        " dominated; of the other {rest} the data do not say.",
        all=states.total(),
        on=states["on the front"],
        off=states["dominated"],
        rest=states["undecided"],
    )
