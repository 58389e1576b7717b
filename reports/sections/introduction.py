"""The introduction: the question, and why it is asked."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Cite, Inline, Math, Paragraph, Part, Prompt, Section, Slide, Text
from reports.model.prose import Prose
from reports.model.topics import Topic

PLACE = "before"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    points: tuple[Text, ...] = (
        ("Fine-tuning a language model trains and stores all of its parameters, once per task.",),
        ("Parameter-efficient methods keep it fixed and learn a small set instead.",),
        ("Asked here: ", *analysis.topic.question),
    )
    slide = Slide("The question", points, order=10, words="Why this topic? What did you expect?")
    return Part(introduction(analysis.topic), (slide,))


def introduction(topic: Topic) -> Section:
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
