"""The introduction: the question, and why it is asked."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Paragraph, Part, Section, Slide
from reports.model.prose import Prose, join

PLACE = "before"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    """Prose alone, but for the topic's question."""
    question = prose.text(analysis.topic.prose, "question")
    does = prose.text(
        "introduction", "what it does with the results of others" if analysis.provenance else "what it does"
    )
    passages = prose.passages("introduction", "introduction", question=question, does=does)
    said = [Paragraph(join(passage)) for passage in passages]
    points = prose.passage("introduction", "slide", question=question)
    return Part(
        Section("introduction", "Introduction", (*said, *prose.prompts("introduction"))),
        (Slide("The question", points, order=10, words=prose.words("question")),),
    )
