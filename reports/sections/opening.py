"""What stands before the results: the abstract and the introduction."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Cite, Inline, Math, Paragraph, Prompt, Section, Text, listing
from reports.model.topics import Topic
from reports.model.writing import plural
from reports.results import Results
from reports.sections import findings


def abstract(analysis: Analysis) -> Text:
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


def introduction(results: Results, topic: Topic) -> Section:
    theta, phi = Math(r"\theta", "θ"), Math(r"\phi", "φ")
    why: Text = (
        "How can language models that keep growing be adapted to a task efficiently? Training all of their"
        " parameters needs gradients and optimiser state for each, and leaves a copy of the whole model per task."
        " Parameter-efficient fine-tuning keeps the pretrained parameters ", theta, " fixed, or nearly so, and learns"
        " a small set ", phi, " instead. Five answers have been given to the question what ", phi, " should be: a"
        " sparse change of ", theta, ", a low-rank change, small inserted networks (adapters), trained vectors in the"
        " input (soft prompts), and the output of another network (hypernetworks).",
    )  # fmt: skip
    where: Text = (
        Cite(("pfeiffer2023modular",), textual=True), " order these answers by where a module meets the backbone: in"
        " its parameters, ", Math(r"\theta' = \theta \oplus \phi", "θ′ = θ ⊕ φ"), "; in its input, ",
        Math(r"[\phi;\, x]", "[φ; x]"), "; or in the function it computes, ",
        Math(r"f_\theta \circ f_\phi", "f_θ ∘ f_φ"), ". A hypernetwork generates ", phi, " for any of the three. The"
        " place decides what a method costs: a change of parameters can be folded into the backbone once trained; an"
        " inserted function, unless it is linear, and a longer input cannot.",
    )  # fmt: skip
    doubt: Text = (
        "Comparisons exist ", Cite(("ding2023delta", "lialin2023scaling", "belanec2025peftbench")), ", and doubts"
        " about them too: ", Cite(("chen2022revisiting",), textual=True), " find that gains shrink under a fair"
        " protocol and that parameter-efficient methods are no more stable than full fine-tuning, whose own spread over"
        " seeds is known to be large ", Cite(("mosbach2021stability",)), ". This report therefore gives each method the"
        " same data, order, steps and seeds, shows the spread beside every mean score, and calls a difference one only"
        " after a test. Its question is narrow: ", *_question(topic),
    )  # fmt: skip
    prompt = Prompt(("Why does this question interest you, and what did you expect before you saw the numbers? Which"
                     " statement of a paper did you doubt first?",), key="introduction")  # fmt: skip
    return Section("introduction", "Introduction", (Paragraph(why), Paragraph(where), Paragraph(doubt), prompt))


def _question(topic: Topic) -> list[Inline]:
    return list(topic.question)
