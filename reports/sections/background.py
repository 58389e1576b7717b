"""The background section: each family's idea in our words, each method's summary and formula from its card."""

from __future__ import annotations

from records.cards import BackboneCard, MethodCard, TaskCard
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
    Inline,
    Math,
    Paragraph,
    Part,
    Prompt,
    Ref,
    Section,
    Slide,
    Text,
    listing,
)
from reports.model.prose import Prose
from reports.model.topics import Topic
from reports.model.writing import plural
from reports.render.escape import plain_key
from reports.results import Results
from reports.sections.cutting import first, sentences

PLACE = "before"
ORDER = 20
# What a talk of this family's own methods can go through.
METHODS_SHOWN = 4

Card = MethodCard | TaskCard | BackboneCard

IDEAS: dict[str, Text] = {
    "baseline": (
        "Baselines bracket what adaptation can cost: at one end every parameter is trained, at the other none but"
        " those of a fresh task head.",
    ),
    "sparse": (
        "A sparse method changes a small part of the backbone's own parameters, ",
        Math(r"\theta' = \theta + \mu \odot \phi", "θ′ = θ + μ ⊙ φ"),
        " with a binary mask ",
        Math(r"\mu", "μ"),
        ". Methods differ in how the mask is found: fixed beforehand, or chosen by a look at training, which must"
        " be paid for. Since the change is added to ",
        Math(r"\theta", "θ"),
        ", inference costs what it cost before.",
    ),
    "low-rank": (
        "Low-rank methods assume that the change of a weight matrix which a task asks for has low rank, and train"
        " its two factors in place of the matrix. The product can be added to the weights after training, so that"
        " the architecture stays as it was.",
    ),
    "adapter": (
        "Adapters insert small trained functions between frozen layers. Few of them are linear; the others cannot"
        " be folded into the backbone, and inference pays for them. In return they can be stacked, shared and"
        " exchanged.",
    ),
    "soft-prompt": (
        "Soft prompts leave the backbone's function alone and train vectors that join its input, at the embeddings"
        " or as keys and values of every layer. They take up sequence length, on which the cost of attention"
        " depends.",
    ),
    "hypernetwork": (
        "A hypernetwork generates the parameters of modules from an embedding of what they are for, such as task"
        " and layer. What is trained is the generator, which layers and tasks share; with a single task, the"
        " sharing among tasks that it was proposed for cannot show.",
    ),
}


def cited(card: Card) -> list[Inline]:
    """A card may cite several works: their keys are separated by commas."""
    keys = tuple(key.strip() for key in card.citation.split(",") if key.strip())
    return [" ", Cite(keys)] if keys else []


def part(analysis: Analysis, prose: Prose) -> Part:
    results, view, topic = analysis.everything.results, analysis.results, analysis.topic
    return Part(section(results, view, topic), tuple(_slides(results, view, topic)))


def _slides(results: Results, view: Results, topic: Topic) -> list[Slide]:
    if topic.family is None:
        families = [f for f in families_in({results.family_of(label) for label in results.labels}) if f != "baseline"]
        drawn = schematics.figures(families)
        points = tuple(first(IDEAS[f]) for f in families if f in IDEAS)
        return [*(Slide("What is trained, and where", (), figure, 20, minutes=1.5) for figure in drawn),
                Slide("Five answers", points, None, 20, minutes=1.5)]  # fmt: skip
    drawn = schematics.figures([topic.family])
    made = [
        Slide("What: the idea", tuple(sentences(topic.what)), drawn[0] if drawn else None, 20, minutes=1.5),
        Slide("Why: what is hoped for", tuple(sentences(topic.why)), None, 20, words="An example of your own."),
        Slide("How: where methods differ", tuple(sentences(topic.how)), None, 20, minutes=1.5),
    ]
    own = [label for label in view.labels if view.family_of(label) == topic.family]
    if own:
        described: list[Text] = []
        for label in own[:METHODS_SHOWN]:
            card = view.method_card(view.method_of(label))
            summary = card.summary.split(". ")[0].rstrip(".")
            described.append((Code(label), *cited(card), f": {summary}." if summary else ""))
        if len(own) > METHODS_SHOWN:
            described.append((f"and {plural(len(own) - METHODS_SHOWN, 'other')}: {listing(own[METHODS_SHOWN:])}.",))
        words = "Explain one of them on the board."
        made.append(Slide("The methods compared", tuple(described), None, 20, words))
    return made


def section(results: Results, view: Results, topic: Topic) -> Section:
    """The topic's family in detail, the others briefly; a subsection per family where the topic is all of them."""
    families = families_in({results.family_of(label) for label in results.labels})
    if topic.family is None:
        drawn: list[Block] = [*schematics.figures([f for f in families if f != "baseline"])]
        if drawn:
            drawn.insert(0, Paragraph((Ref("fig:schematic"), " draws what each family trains, and where.")))
        many = len(results.labels) > FEW_LABELS
        return Section("background", "Background", tuple(drawn), tuple(_family(results, f, many) for f in families))
    own = [label for label in results.labels if results.family_of(label) == topic.family]
    prompt = Prompt(("Explain the method you studied in your own words, on an example, and check a parameter count of"
                     " this report by hand.",), key="background")  # fmt: skip
    drawn = [*schematics.figures([topic.family])]
    family = Section(
        f"family-{topic.family}", FAMILIES.get(topic.family, topic.title),
        (*_three(topic, drawn), *drawn, *_methods(results, own), prompt),
    )  # fmt: skip
    others = [f for f in families if f != topic.family]
    related = tuple(
        Paragraph((*IDEAS.get(f, ()), *_named(view, f)), f"{FAMILIES.get(f, f.capitalize())}.") for f in others
    )
    return Section("background", "Background", (), (family, Section("related", "Related families", related)))


def _three(topic: Topic, drawn: list[Block]) -> list[Paragraph]:
    what = (*topic.what, " ", Ref("fig:schematic"), " draws it.") if drawn else topic.what
    return [Paragraph(said, head) for said, head in ((what, "What."), (topic.why, "Why."), (topic.how, "How."))
            if said]  # fmt: skip


def _named(view: Results, family: str) -> list[Inline]:
    """Which of the family are compared here."""
    labels = [label for label in view.labels if view.family_of(label) == family]
    text: list[Inline] = []
    for i, label in enumerate(labels):
        text += ["; " if i else " Compared here: ", Code(label), *cited(view.method_card(view.method_of(label)))]
    return [*text, "."] if labels else []


def _family(results: Results, family: str, many: bool) -> Section:
    """The idea and the methods; the methods in a section of their own where there are `many`."""
    labels = [label for label in results.labels if results.family_of(label) == family]
    idea: list[Block] = [Paragraph((*IDEAS.get(family, ()), *(_named(results, family) if many else ())))]
    if family not in IDEAS and not many:
        idea = []
    detail = _methods(results, labels)
    title, key = FAMILIES.get(family, family.capitalize()), plain_key(family)
    if many:
        return Section(
            f"family-{key}", title, tuple(idea), (Section(f"detail-{key}", f"{title}: methods", tuple(detail)),)
        )
    return Section(f"family-{key}", title, (*idea, *detail))


def _methods(results: Results, labels: list[str]) -> list[Block]:
    """What each method's card says, and its formula."""
    blocks: list[Block] = []
    for method in dict.fromkeys(results.method_of(label) for label in labels):
        card = results.method_card(method)
        configured = [label for label in labels if results.method_of(label) == method]
        text: list[Inline] = [Code(configured[0])]
        for label in configured[1:]:
            text += [", ", Code(label)]
        text += cited(card)
        if composition := COMPOSITIONS.get(card.composition):
            text.append(f", {composition}")
        text.append(". " + (card.summary.strip() or "Its card is not part of the results folder."))
        blocks.append(Paragraph(tuple(text), f"{results.title('methods', method)}."))
        if card.formula:
            blocks.append(Equation(card.formula))
    return blocks
