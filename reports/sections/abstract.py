"""The abstract."""

from __future__ import annotations

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.provenance import Provenance
from reports.model import verdict_words
from reports.model.document import Text
from reports.model.prose import join, say
from reports.model.writing import plural, score

# With more tasks than this, none is named.
FEW_TASKS = 3


def text(analysis: Analysis) -> Text:
    """The whole of it, as one running text."""
    return join(
        [
            say(
                "Fine-tuning all parameters of a language model takes the memory to train it and a full copy of it for"
                " every task."
            ),
            _compared(analysis),
            _own(analysis),
            *_scores(analysis),
            _tests(analysis),
            _mixed(analysis),
            _precisions(analysis),
            say(
                "Every number comes from a record of {this}; limits of what it can show are listed at the end.",
                this="this run" if analysis.provenance is None else "what was published",
            ),
        ]
    )


def _compared(analysis: Analysis) -> Text:
    results, view = analysis.everything.results, analysis.results
    if analysis.provenance is not None:
        return _published(analysis, analysis.provenance)
    families = {results.family_of(label) for label in view.labels} - {"baseline"}
    return say(
        "We compare {methods}{among}, baselines included, on {backbones} and {tasks}, each under the same budget with"
        " {seeds}, and measure score, trainable parameters, memory, throughput and latency.",
        methods=plural(len(view.labels), "method"),
        among=f" from {plural(len(families), 'family', 'families')}" if families else "",
        backbones=listing([results.title("backbones", backbone) for backbone in results.backbones]),
        tasks=plural(len(results.tasks), "task"),
        seeds=plural(results.cells["seed"].nunique(), "seed"),
    )


def _published(analysis: Analysis, found: Provenance) -> Text:
    results, pairs = analysis.results, sum(len(of.pairs) for of in analysis.shares)
    told = sum(pair.decision.word in ("better", "worse") for of in analysis.shares for pair in of.pairs)
    return say(
        "We read {files} that {sources} published, of {configurations} on {backbones}, each with {seeds}; nothing was"
        " run here.{shares}",
        files=plural(found.files, "result file"),
        sources=listing(found.sources),
        configurations=plural(len(results.labels), "configuration"),
        backbones=listing([results.title("backbones", backbone) for backbone in results.backbones]),
        seeds=plural(found.seeds, "seed"),
        shares=f" From the number of test examples alone, {told} of {pairs} pairs of configurations can be told apart."
        if pairs
        else "",
    )


def _mixed(analysis: Analysis) -> Text:
    if not analysis.results.manifest.mixed:
        return ()
    return say("The results were merged from several folders although these differ ([sec:limitations]).")


def _precisions(analysis: Analysis) -> Text:
    if len(analysis.limits.precisions) < 2:
        return ()
    return say("Not all cells were computed in the same precision ([sec:limitations]).")


def _own(analysis: Analysis) -> Text:
    """With how much the topic's family takes part."""
    family, own = analysis.topic.family, analysis.own
    if family is None:
        return ()
    return say(
        "The subject, the {family} family, takes part with {own}{nothing}.",
        family=family,
        own=plural(len(own), "configuration"),
        nothing="" if len(own) > 1 else ", so that nothing is said of differences within it",
    )


def _scores(analysis: Analysis) -> list[Text]:
    results = analysis.results
    if len(results.tasks) > FEW_TASKS:
        return []
    return [
        say(
            "On {task}, mean test {metric} runs from {low} ({lowest}) to {high} ({highest}){less}.",
            task=results.title("tasks", found.task),
            metric=results.metric(found.task),
            low=score(found.low, results.scale(found.task)),
            lowest=found.lowest,
            high=score(found.high, results.scale(found.task), unit=True),
            highest=found.highest,
            less="" if results.scale(found.task).higher_is_better else ", of which less is better",
        )
        for found in analysis.ranges
    ]


def _tests(analysis: Analysis) -> Text:
    if decisions := analysis.tested.decisions:
        return say(
            "The verdicts on {n} to full fine-tuning, after correction, are: {tally}.",
            n=plural(len(decisions), "difference"),
            tally=verdict_words.tally(decisions),
        )
    if len(analysis.results.labels) > 1 and not analysis.shares:
        return say("The seeds are too few to test differences on a single task, and none is claimed.")
    return ()
