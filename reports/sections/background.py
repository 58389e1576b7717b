"""The background: each family's idea in our words, each method's summary and formula from its card."""

from __future__ import annotations

from records.cards import BackboneCard, MethodCard, TaskCard
from records.text import listing
from records.vocabulary import COMPOSITIONS, FAMILIES
from reports.analysis.analysis import Analysis
from reports.analysis.focus import FEW_LABELS
from reports.drawing import schematics
from reports.drawing.style import families_in
from reports.model.document import (
    Block,
    Cite,
    Code,
    Equation,
    Figure,
    Paragraph,
    Part,
    Section,
    Slide,
    Text,
    plain_key,
)
from reports.model.prose import Passage, Prose, join, say
from reports.model.topics import topics
from reports.model.writing import plural
from reports.results import Results

PLACE = "before"
ORDER = 20
# What a talk of this family's own methods can go through.
METHODS_SHOWN = 4
# The rank of a list of methods that stands in a section of its own.
DETAIL = 40


def part(analysis: Analysis, prose: Prose) -> Part:
    """A subsection per family; or the topic's family in detail, and the others briefly."""
    family = analysis.topic.family
    return _of_all(analysis, prose) if family is None else _of_one(analysis, family, prose)


def cited(card: MethodCard | TaskCard | BackboneCard) -> Text:
    """The works that a card cites, after a space; their keys are separated by commas there."""
    keys = tuple(key.strip() for key in card.citation.split(",") if key.strip())
    return (" ", Cite(keys)) if keys else ()


def _of_all(analysis: Analysis, prose: Prose) -> Part:
    results = analysis.everything.results
    families = families_in({results.family_of(label) for label in results.labels})
    ideas = _ideas(families, prose)
    drawn = schematics.figures([family for family in families if family != "baseline"])
    drawings: list[Block] = [Paragraph(prose.text("background", "drawing")), *drawn] if drawn else []
    many = len(results.labels) > FEW_LABELS
    sections = tuple(_family(results, family, ideas[family], many) for family in families)
    points = tuple(ideas[family][0] for family in families if family != "baseline" and ideas[family])
    slides = (
        *(Slide("What is trained, and where", (), figure, order=20, minutes=1.5) for figure in drawn),
        Slide("Five answers", points, order=20, minutes=1.5),
    )
    return Part(Section("background", "Background", tuple(drawings), sections), slides)


def _of_one(analysis: Analysis, family: str, prose: Prose) -> Part:
    results, topic = analysis.everything.results, analysis.topic
    drawn = schematics.figures([family])
    own = [label for label in results.labels if results.family_of(label) == family]
    blocks = (*_three(analysis, prose, drawn), *drawn, *_methods(results, own), *prose.prompts("background"))
    detailed = Section(f"family-{plain_key(family)}", FAMILIES.get(family, topic.title), blocks)
    others = [f for f in families_in({results.family_of(label) for label in results.labels}) if f != family]
    ideas = _ideas(others, prose)
    related = [
        Paragraph(join([*ideas[other], _compared(analysis.results, other)]), f"{_title(other)}.") for other in others
    ]
    sections = (detailed, Section("related", "Related families", tuple(related)))
    return Part(Section("background", "Background", (), sections), _slides(analysis, prose, drawn))


def _ideas(families: list[str], prose: Prose) -> dict[str, Passage]:
    """What is said of a family where it is one of several: in its topic's file; of baselines, which are no topic, in
    background.md."""
    of_topics = {topic.family: topic for topic in topics(prose.folder).values()}
    return {
        family: prose.passage(of_topics[family].prose, "idea")
        if family in of_topics
        else prose.passage("background", family)
        for family in families
    }


def _three(analysis: Analysis, prose: Prose, drawn: list[Figure]) -> list[Paragraph]:
    """What, why and how."""
    name = analysis.topic.prose
    what = prose.passage(name, "what")
    if what and drawn:
        what += prose.passage("background", "drawing of one family")
    said = {"What.": what, "Why.": prose.passage(name, "why"), "How.": prose.passage(name, "how")}
    return [Paragraph(join(passage), heading) for heading, passage in said.items() if passage]


def _slides(analysis: Analysis, prose: Prose, drawn: list[Figure]) -> tuple[Slide, ...]:
    name, words = analysis.topic.prose, prose.words("why")
    slides = [
        Slide("What: the idea", prose.passage(name, "what"), drawn[0] if drawn else None, order=20, minutes=1.5),
        Slide("Why: what is hoped for", prose.passage(name, "why"), order=20, words=words),
        Slide("How: where methods differ", prose.passage(name, "how"), order=20, minutes=1.5),
    ]
    if shown := _described(analysis):
        slides.append(Slide("The methods compared", tuple(shown), order=20, words=prose.words("methods")))
    return tuple(slides)


def _described(analysis: Analysis) -> list[Text]:
    """The first of the topic's own methods, each with the first sentence of its summary."""
    view = analysis.results
    described = []
    for label in analysis.own[:METHODS_SHOWN]:
        card = view.method_card(view.method_of(label))
        first = card.summary.split(". ")[0].rstrip(".")
        summary = f": {first}." if first else ""
        described.append(say("{label}{cited}{summary}", label=Code(label), cited=cited(card), summary=summary))
    if rest := analysis.own[METHODS_SHOWN:]:
        described.append(say("and {others}: {labels}.", others=plural(len(rest), "other"), labels=listing(rest)))
    return described


def _compared(view: Results, family: str) -> Text:
    """Which of the family are compared here."""
    named = [
        say("{label}{cited}", label=Code(label), cited=cited(view.method_card(view.method_of(label))))
        for label in view.labels
        if view.family_of(label) == family
    ]
    return say("Compared here: {named}.", named=join(named, "; ")) if named else ()


def _family(results: Results, family: str, idea: Passage, many: bool) -> Section:
    """The idea and the methods; the methods in a section of their own where there are `many`."""
    methods = tuple(_methods(results, [label for label in results.labels if results.family_of(label) == family]))
    title, key = _title(family), plain_key(family)
    said = join([*idea, *([_compared(results, family)] if many else [])])
    blocks: tuple[Block, ...] = (Paragraph(said),) if said else ()
    if many:
        detail = Section(f"detail-{key}", f"{title}: methods", methods, spare=DETAIL)
        return Section(f"family-{key}", title, blocks, (detail,))
    return Section(f"family-{key}", title, (*blocks, *methods))


def _title(family: str) -> str:
    return FAMILIES.get(family, family.capitalize())


def _methods(results: Results, labels: list[str]) -> list[Block]:
    """What each method's card says, and its formula."""
    blocks: list[Block] = []
    for method in dict.fromkeys(results.method_of(label) for label in labels):
        card = results.method_card(method)
        configured = [(Code(label),) for label in labels if results.method_of(label) == method]
        composition = COMPOSITIONS.get(card.composition)
        text = say(
            "{labels}{cited}{composition}. {summary}",
            labels=join(configured, ", "),
            cited=cited(card),
            composition=f", {composition}" if composition else "",
            summary=card.summary.strip() or "Its card is not part of the results folder.",
        )
        blocks.append(Paragraph(text, f"{results.title('methods', method)}."))
        blocks += [Equation(card.formula)] if card.formula else []
    return blocks
