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
    said = [Paragraph(join(passage)) for passage in prose.passages("introduction", "introduction", question=question)]
    points = prose.passage("introduction", "slide", question=question)
    return Part(
        Section("introduction", "Introduction", (*said, *prose.prompts("introduction"))),
        (Slide("The question", points, order=10, words=prose.words("question")),),
    )
