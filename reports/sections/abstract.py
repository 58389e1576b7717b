"""The abstract."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Text, listing
from reports.model.topics import Topic
from reports.model.writing import plural
from reports.results import Results
from reports.sections import findings


def text(analysis: Analysis) -> Text:
    results, view, topic = analysis.everything.results, analysis.results, analysis.topic
    families = {results.family_of(label) for label in view.labels} - {"baseline"}
    backbones = listing([results.title("backbones", b) for b in results.backbones])
    among = f" from {plural(len(families), 'family', 'families')}" if families else ""
    whose = f" {_own(view, topic)}" if topic.family else ""
    opening = (
        "Fine-tuning all parameters of a language model takes the memory to train it and a full copy of it for"
        f" every task. We compare {plural(len(view.labels), 'method')}{among}, baselines included, on {backbones} and"
        f" {plural(len(results.tasks), 'task')}, each under the same budget with"
        f" {plural(results.cells['seed'].nunique(), 'seed')}, and measure score, trainable parameters, memory,"
        f" throughput and latency.{whose} "
    )
    closing = "Every number comes from a record of this run; limits of what it can show are listed at the end."
    return (opening, *findings.headline(analysis), closing)


def _own(view: Results, topic: Topic) -> str:
    own = [label for label in view.labels if view.family_of(label) == topic.family]
    said = f"The subject, the {topic.family} family, takes part with {plural(len(own), 'configuration')}"
    return said + ("." if len(own) > 1 else ", so that nothing is said of differences within it.")
