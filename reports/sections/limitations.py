"""What to doubt: of the literature, and of this run."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Block, Paragraph, Part, Prompt, Section, Slide
from reports.model.prose import Prose
from reports.model.topics import Topic
from reports.results import Results
from reports.sections import findings
from reports.sections.cutting import first, sentences, without_refs

PLACE = "after"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    return Part(limitations(analysis.results, analysis.topic), tuple(_slides(analysis.results, analysis.topic)))


def _slides(view: Results, topic: Topic) -> list[Slide]:
    limits = []
    for paragraph in findings.limitations(view):
        if paragraph.heading in ("Seeds.", "Scale.", "Tasks and budget.", "Test sets.", "Missing cells.", "Timing."):
            said = sentences(without_refs(paragraph.text))
            # A heading and a bare number are no doubt yet.
            limits.append(tuple(piece for s in said[: 2 if len(str(said[0])) < 80 else 1] for piece in (*s, " ")))
    doubts = tuple(topic.doubts)
    made = [Slide("What to doubt in the papers", tuple(first(d) for d in doubts), None, 90, minutes=1.5,
                  words="Your own strongest objection.")] if doubts else []  # fmt: skip
    return [*made, Slide("What to doubt in this run", tuple(limits), None, 91)]


def limitations(results: Results, topic: Topic) -> Section:
    """First of the literature, then of this run."""
    blocks: list[Block] = []
    if topic.doubts:
        heading = "Of the literature."
        for doubt in topic.doubts:
            blocks.append(Paragraph(doubt, heading))
            heading = None  # type: ignore[assignment]
    prompt = Prompt(("Which of these doubts weighs most for the papers you read, and which experiment of theirs would"
                     " you ask for?",), key="limitations")  # fmt: skip
    return Section("limitations", "Limitations", (*blocks, *findings.limitations(results), prompt))
