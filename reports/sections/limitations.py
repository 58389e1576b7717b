"""What to doubt: of the literature, and of this run."""

from __future__ import annotations

from dataclasses import dataclass

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.limits import Later, Limits
from reports.analysis.statistics import MIN_PAIRS
from reports.model.document import Code, Paragraph, Part, Section, Slide, Text
from reports.model.prose import Prose, join, say
from reports.model.writing import count, numeral, plural, points
from reports.results import Results
from reports.sections.unfinished import left_out

PLACE = "after"
ORDER = 10


@dataclass(frozen=True)
class Limit:
    """A doubt about this run: sentences, of which a talk gives the first `told`."""

    heading: str
    sentences: tuple[Text, ...]
    told: int = 0


def part(analysis: Analysis, prose: Prose) -> Part:
    """First of the literature, then of this run."""
    doubts = prose.passages(analysis.topic.prose, "doubts")
    literature = [Paragraph(join(doubt), None if i else "Of the literature.") for i, doubt in enumerate(doubts)]
    run = [Paragraph(join(limit.sentences), limit.heading) for limit in limits(analysis)]
    slides = []
    if doubts:
        first = tuple(doubt[0] for doubt in doubts)
        words = prose.words("doubts")
        slides.append(Slide("What to doubt in the papers", first, order=90, words=words, minutes=1.5))
    told = [join(limit.sentences[: limit.told]) for limit in limits(analysis, numbered=False) if limit.told]
    slides.append(Slide("What to doubt in this run", tuple(told), order=91))
    blocks = (*literature, *run, *prose.prompts("limitations"))
    return Part(Section("limitations", "Limitations", blocks), tuple(slides))


def limits(analysis: Analysis, numbered: bool = True) -> list[Limit]:
    """What this run cannot show, from what it holds. Where tables are `numbered`, they are referred to."""
    results, found = analysis.results, analysis.limits
    budget, unfinished = (say(" ([tab:budget])"), say(" ([tab:unfinished])")) if numbered else ((), ())
    made = [
        _seeds(analysis),
        _scale(results, found),
        _budget(results, found, budget),
        _tuning(results),
        Limit("Metrics.", (*_metrics(results, found), *map(_later, found.later))),
        Limit("Test sets.", tuple(_test_sets(analysis)), told=1),
        Limit("Missing cells.", tuple(_missing(results, found, unfinished)), told=1),
        Limit("Timing.", tuple(_timing(found)), told=2),
        Limit("Code.", tuple(_code(found))),
        Limit("Environments.", tuple(_environments(found))),
        Limit("Precision.", tuple(_precisions(found)), told=1),
        Limit("Merged.", tuple(_mixed(results)), told=1),
    ]
    return [limit for limit in made if limit.sentences]


def _seeds(analysis: Analysis) -> Limit:
    results, n = analysis.results, len(analysis.limits.seeds)
    populations = {each.population for contrast in analysis.contrasts for each in contrast.decisions}
    if "examples and seeds" in populations:
        said = [
            say("There are {n} seeds.", n=n),
            say(
                "The verdicts treat seeds as a sample of possible runs and test examples as one of their kind; they say"
                " nothing of other splits or data sets."
            ),
        ]
        if n < MIN_PAIRS:
            few = "So few tell little of others: a verdict for these models on other examples is none on their methods."
            said.append(say(few))
        return Limit("Seeds.", tuple(said), told=2)
    if "examples" in populations or (analysis.shares and n == 1):
        said = [
            say("There is one seed."),
            say("Every verdict is about these very models on other examples; another seed may reverse it."),
        ]
        return Limit("Seeds.", tuple(said), told=2)
    if n >= MIN_PAIRS:
        said = [
            say("There are {n} seeds.", n=n),
            say(
                "The tests treat them as a sample of possible runs on the same data split; they say nothing of other"
                " splits or data sets."
            ),
        ]
        return Limit("Seeds.", tuple(said), told=2)
    said = [
        say("There {are} {seeds}.", are="is" if n == 1 else "are", seeds=plural(n, "seed")),
        say(
            "No difference between methods on a single task is established here; means and their order are descriptions"
            " of these runs."
        ),
    ]
    if n > 1 and len(results.tasks) > 1:
        said.append(say("What is tested, the claims of papers, is tested over the pairs of all tasks together."))
    return Limit("Seeds.", tuple(said), told=2)


def _scale(results: Results, found: Limits) -> Limit:
    n = len(results.backbones)
    sizes = listing([count(size) for size in found.parameters]) if found.parameters else ""
    adapted = say(
        "{backbones}{sizes} {are} adapted.",
        backbones="One backbone" if n == 1 else f"{n} backbones",
        sizes=f" with {sizes} parameters" if sizes else "",
        are="is" if n == 1 else "are",
    )
    larger = say(
        "Several methods were proposed for, and tested on, far larger models; what is seen here need not hold there, in"
        " either direction."
    )
    return Limit("Scale.", (adapted, larger), told=2)


def _budget(results: Results, found: Limits, where: Text) -> Limit:
    tasks = say(
        "{tasks} of kind {kinds}, each under one budget{where}.",
        tasks=plural(len(results.tasks), "task").capitalize(),
        kinds=listing(list(found.kinds)),
        where=where,
    )
    hurt = say("A method that gains most from more data or longer training is at a disadvantage.")
    return Limit("Tasks and budget.", (tasks, hurt), told=2)


def _tuning(results: Results) -> Limit:
    notes = str(results.suite.get("notes") or "").strip()
    return Limit(
        "Tuning.",
        (
            say("The suite says of its hyperparameters: “{notes}”", notes=notes)
            if notes
            else say("Hyperparameters were fixed in the suite; this run holds no search."),
            say(
                "A method whose learning rate suits it less loses by that, not by what it is; how a search is reported"
                " matters as much as its result."
            ),
        ),
    )


def _metrics(results: Results, found: Limits) -> list[Text]:
    """What was taken for granted of metrics, and scores that belie it."""
    said = []
    for task in results.tasks:
        if names := [f"“{name}”" for name in results.task_card(task).assumed]:
            one = len(names) == 1
            said.append(
                say(
                    "{metrics} of {task} {taken} of which more is better: the task's card does not say how to read it.",
                    metrics=listing(names),
                    task=task,
                    taken="was taken as a fraction" if one else "were taken as fractions",
                )
            )
        if n := found.outside.get(task):
            said.append(
                say(
                    "{scores} of {task} {lie} outside of the range of {metric}: its card is wrong, or they are.",
                    scores=plural(n, "score").capitalize(),
                    task=task,
                    lie="lies" if n == 1 else "lie",
                    metric=results.metric(task),
                )
            )
    return said


def _later(found: Later) -> Text:
    return say(
        "The metric {metric} of {cells} was computed from kept predictions after the run, by version {versions}"
        "{replaced}.",
        metric=Code(found.metric),
        cells=plural(found.cells, "cell"),
        versions=listing(list(found.versions)),
        replaced=f"; of {numeral(found.replaced)} the run had given another value, and validation scores are still the"
        " run's"
        if found.replaced
        else "",
    )


def _test_sets(analysis: Analysis) -> list[Text]:
    found = analysis.limits
    if not found.sampling:
        return []
    errors = [
        f"{points(each.error)} points for {points(each.best)} on {each.task} ({each.examples:,} examples)"
        for each in found.sampling
    ]
    return [
        say("All seeds share one test set, so that the spread over seeds leaves out the chance of its examples."),
        say(
            "The standard error that comes from them alone is {errors}{within}.",
            errors=listing(errors),
            within="; verdicts on other examples take it into account" if analysis.outcomes else "",
        ),
    ]


def _missing(results: Results, found: Limits, where: Text) -> list[Text]:
    lost = left_out(results)
    if not found.unscored:
        return lost
    cells = f"{found.unscored} of {len(results.cells)}"
    return [say("{cells} cells have no score{where}.", cells=cells, where=where), *lost]


def _timing(found: Limits) -> list[Text]:
    if not found.devices:
        return []
    devices = listing(["the CPU" if device == "cpu" else device for device in found.devices])
    return [
        say("Time was measured on {devices}.", devices=devices),
        say("Ratios between methods can differ on other devices; counted bytes and FLOPs cannot."),
    ]


def _code(found: Limits) -> list[Text]:
    changed = "Some records come from code with local changes, so that their commit does not identify it."
    return [say(changed)] if found.uncommitted else []


def _environments(found: Limits) -> list[Text]:
    n = found.environments
    return [say("The records come from {n} different environments.", n=n)] if n > 1 else []


def _precisions(found: Limits) -> list[Text]:
    """Where cells were not all computed alike."""
    if len(found.precisions) < 2:
        return []
    counted = listing([f"{n} in {name}" for name, n in found.precisions.items()])
    first = say("Not all cells were computed in the same precision: {counted}.", counted=counted)
    return [first, say("A difference between configurations may be one of arithmetic.")]


def _mixed(results: Results) -> list[Text]:
    """What was merged though it cannot be compared."""
    if not (mixed := results.manifest.mixed):
        return []
    first = say("The results of several folders were merged although they differ: {mixed}.", mixed="; ".join(mixed))
    return [first, say("A difference between configurations may be one between the folders.")]
