"""A tutorial for each topic, from a clone to a cited table: one template, and what the topic and its cards say."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import yaml

from bench.suite import BUILT_IN
from docs.site.cards import native
from docs.site.pages import render
from methods.papers import PAPERS
from records.cards import Claim, MethodCard
from records.vocabulary import FAMILIES
from reports.model.references import Entry, parse
from reports.model.resources import resource
from reports.model.topics import Topic, topics
from reports.render.documentation import rate
from reports.render.mathml import inline_math

# What a family is held against.
BASELINES = ("full", "head")


class Testable(NamedTuple):
    """A claim that a suite can test, with the paper in words, and what a suite has to hold for it."""

    card: MethodCard
    claim: Claim
    paper: str
    takes: str


def pages() -> dict[str, str]:
    """By their places in the site, in the order of the families."""
    return {f"tutorials/{topic.key}.md": _page(topic) for topic in topics().values() if topic.family}


def suite(topic: Topic) -> str:
    """The suite of a topic's tutorial: the methods of the family beside the baselines, as the suite `families` gives
    them."""
    given = yaml.safe_load((BUILT_IN / "families.yaml").read_text("utf-8"))
    own = [name for name in given["methods"] if name in BASELINES or _card(name).family == topic.family]
    lines = [
        "backbones: [embedded:minilm-l6]",
        "tasks:",
        "  rotten_tomatoes: {train_examples: 2000, epochs: 3, max_length: 64}",
    ]
    lines += ["methods:", *(f"  {name}: {{lr: {rate(given['methods'][name]['lr'])}}}" for name in own)]
    lines += ["seeds: [0, 1, 2]", "budget: {validation_examples: 400, test_examples: 2000}"]
    return "\n".join(lines)


def _page(topic: Topic) -> str:
    said = _sections(resource(f"prose/{topic.prose}.md"))
    cards = [cls.card for cls in native().values() if cls.card.family == topic.family]
    found = [_testable(card, claim) for card in cards for claim in card.claims if not claim.untestable]
    return render(
        "tutorial.md.jinja",
        topic=topic,
        family=FAMILIES[str(topic.family)],
        said={heading: prose(text) for heading, text in said.items()},
        cards=cards,
        suite=suite(topic),
        at_once=[each for each in found if not each.takes],
        varied=[each for each in found if each.takes],
        untestable=[(card, claim) for card in cards for claim in card.claims if claim.untestable],
        lead=max(cards, key=lambda card: len(card.claims)),  # that of which papers say most
    )


def _card(name: str) -> MethodCard:
    card: MethodCard = native()[name].card
    return card


def _testable(card: MethodCard, claim: Claim) -> Testable:
    """What a claim takes beside the family and the baselines."""
    takes = []
    if claim.varies:
        takes.append(f"`{card.name}` a second time, with another `{claim.varies}`")
    if claim.comparator not in (card.name, "backbone", *BASELINES) and _card(claim.comparator).family != card.family:
        takes.append(f"`{claim.comparator}` in the suite")
    if claim.measure == "best_lr":
        takes.append("a search: `bench tune`")
    if claim.task_kind and claim.task_kind != "classification":
        takes.append(f"a task of the kind {claim.task_kind}")
    entry = _papers()[claim.source]
    return Testable(card, claim, f"{entry.short} ({entry.year})", "; ".join(takes))


@cache
def _papers() -> dict[str, Entry]:
    texts = (PAPERS.path.read_text("utf-8"), resource("references.bib"))
    return {entry.key: entry for text in texts for entry in parse(text)}


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^# (.+)$", text, flags=re.MULTILINE)
    return {heading.lower(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def prose(text: str) -> str:
    """Fixed prose of reports as Markdown: citations by author and year, formulas as MathML."""

    def cited(found: re.Match[str]) -> str:
        entries = [_papers()[key.strip().lstrip("@")] for key in found[1].split(";")]
        return "(" + "; ".join(f"{entry.short}, {entry.year}" for entry in entries) + ")"

    text = re.sub(r"\[(@[^\]]+)\]", cited, text)
    return re.sub(r"\$([^$]+)\$", lambda found: str(inline_math(found[1])), text)
