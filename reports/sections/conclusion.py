"""What the numbers allow to be said, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.claims import Verdict, tally
from reports.analysis.overview import Best
from reports.analysis.statistics import MIN_PAIRS
from reports.model import verdict_words
from reports.model.document import Code, Paragraph, Part, Section, Slide, Text
from reports.model.prose import Prose, join, say
from reports.model.writing import numeral, plural, score

PLACE = "after"
ORDER = 20
# Of more tasks than these, the first are named.
TASKS_NAMED = 3
POINTS = 5


def part(analysis: Analysis, prose: Prose) -> Part:
    """The same sentences in the document and in the talk."""
    said = conclusions(analysis)
    return Part(
        Section("conclusion", "Conclusion", (Paragraph(join(said)), *prose.prompts("conclusion"))),
        (Slide("What can be said, and what cannot", tuple(said[:POINTS]), order=100, words=prose.words("end")),),
    )


def conclusions(analysis: Analysis) -> list[Text]:
    """A sentence each."""
    said = [_scores(analysis), _tests(analysis), _shares(analysis), _claims(analysis.verdicts), *_scope(analysis)]
    return [sentence for sentence in said if sentence]


def _scores(analysis: Analysis) -> Text:
    """The topic's best on validation data, beside full fine-tuning."""
    named = [found for found in analysis.best if found.task in analysis.results.tasks[:TASKS_NAMED]]
    if not named:
        return ()
    first, *others = named
    clauses = [_first_task(analysis, first)]
    for before, found in zip(named, others, strict=False):
        clause = "on {task} it has {score}" if found.label == before.label else "on {task} it is {label}, with {score}"
        clauses.append(say(clause, **_holes(analysis, found)))
    return (*join(clauses, "; "), ".")


def _first_task(analysis: Analysis, found: Best) -> Text:
    view, topic, own = analysis.results, analysis.topic, analysis.own
    only = [label for label in own if label != view.reference] == [found.label]
    beside = " besides full fine-tuning" if view.reference in own else ""
    return say(
        "On {task} {label}, the only configuration{whose}, has a mean test score of {score}"
        if only
        else "On {task} the configuration{whose} with the {highest} mean validation score is {label}, whose mean test"
        " score is {score}",
        whose=" of this family" if topic.family else beside,
        highest=view.highest,
        **_holes(analysis, found),
    )


def _holes(analysis: Analysis, found: Best) -> dict[str, Text]:
    view = analysis.results
    scale = view.scale(found.task)
    full = "" if found.reference is None else f" ({score(found.reference, scale)} for full fine-tuning)"
    return {
        "task": (view.title("tasks", found.task),),
        "label": (Code(found.label),),
        "score": (f"{score(found.score, scale, unit=True)}{full}",),
    }


def _tests(analysis: Analysis) -> Text:
    if not analysis.contrasts:
        return ()
    decisions = analysis.tested.decisions
    if not decisions:
        return say(
            "With {seeds} in common (fewer than {least}) no difference on a single task was tested, and the order of"
            " the means is a description, not a result.",
            seeds=plural(analysis.tested.pairs, "seed"),
            least=MIN_PAIRS,
        )
    return say(
        "The verdicts on {tested} to full fine-tuning are: {tally}{undecided}.",
        tested=plural(len(decisions), "difference"),
        tally=verdict_words.tally(decisions),
        undecided=", where neither a difference nor equality is shown" if analysis.tested.undecided else "",
    )


def _shares(analysis: Analysis) -> Text:
    """Of configurations of which only the number of test examples is known."""
    pairs = [pair for of in analysis.shares for pair in of.pairs]
    if not pairs:
        return ()
    return say(
        "From the number of test examples alone, {decided} of {pairs} pairs of configurations can be told apart, for"
        " other examples and not for other seeds.",
        decided=str(sum(pair.decision.word in ("better", "worse") for pair in pairs)),
        pairs=str(len(pairs)),
    )


def _claims(verdicts: Sequence[Verdict]) -> Text:
    if not verdicts:
        return ()
    counts = tally(verdicts)
    untested = counts.pop("not testable here", 0)
    if untested == len(verdicts):
        return say("Of {claims} of the papers none could be tested here.", claims=plural(untested, "claim"))
    fates = [f"{numeral(n)} came out {outcome}" for outcome, n in counts.items()]
    fates += [f"{numeral(untested)} could not be tested here"] if untested else []
    return say("Of {claims} of the papers {fates}.", claims=plural(len(verdicts), "claim"), fates=listing(fates))


def _scope(analysis: Analysis) -> list[Text]:
    view, missing = analysis.results, analysis.limits.unscored
    scope = say(
        "All of this holds for {backbones}, for {tasks} and for this budget.",
        backbones=listing([view.title("backbones", backbone) for backbone in view.backbones]),
        tasks=plural(len(view.tasks), "task"),
    )
    lost = "{cells} left no score and may hide a weakness."
    return [scope, *([say(lost, cells=plural(missing, "cell").capitalize())] if missing else [])]
