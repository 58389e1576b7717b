"""The background section: each family's idea in our words, each method's summary and formula from its card."""

from __future__ import annotations

from typing import Any

from reports.frame import Results
from reports.structure import Block, Cite, Code, Equation, Inline, Math, Paragraph, Section, Text
from reports.style import families_in

_TITLES = {
    "baseline": "Baselines",
    "sparse": "Sparse fine-tuning",
    "low-rank": "Low-rank adaptation",
    "adapter": "Adapters",
    "soft-prompt": "Soft prompts",
    "hypernetwork": "Hypernetworks",
}
_IDEAS: dict[str, Text] = {
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
        "Adapters insert small trained functions between frozen layers. As they are not linear they cannot be"
        " folded into the backbone, and inference pays for them; in return they can be stacked, shared and"
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
_COMPOSITIONS = {
    "parameter": "composes with the backbone's parameters",
    "input": "composes with its input",
    "function": "composes with its function",
}


def cited(card: dict[str, Any]) -> list[Inline]:
    """A card may cite several works: their keys are separated by commas."""
    keys = tuple(key.strip() for key in str(card.get("citation") or "").split(",") if key.strip())
    return [" ", Cite(keys)] if keys else []


def section(results: Results) -> Section:
    """A subsection per family that takes part."""
    families = families_in({results.family_of(label) for label in results.labels})
    return Section("background", "Background", (), tuple(_family(results, family) for family in families))


def _family(results: Results, family: str) -> Section:
    blocks: list[Block] = []
    if family in _IDEAS:
        blocks.append(Paragraph(_IDEAS[family]))
    methods = dict.fromkeys(results.method_of(label) for label in results.labels if results.family_of(label) == family)
    for method in methods:
        card = results.card("methods", method)
        labels = [label for label in results.labels if results.method_of(label) == method]
        text: list[Inline] = [Code(labels[0])]
        for label in labels[1:]:
            text += [", ", Code(label)]
        text += cited(card)
        if composition := _COMPOSITIONS.get(str(card.get("composition"))):
            text.append(f", {composition}")
        text.append(". " + (str(card.get("summary") or "").strip() or "Its card is not part of the results folder."))
        blocks.append(Paragraph(tuple(text), f"{results.title('methods', method)}."))
        if card.get("formula"):
            blocks.append(Equation(str(card["formula"])))
    return Section(f"family-{family}", _TITLES.get(family, family.capitalize()), tuple(blocks))
