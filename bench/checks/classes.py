"""What is checked of a method's class, before it meets a model: card, hyperparameters, and how it can be called."""

from __future__ import annotations

import re
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.checks.base import Fault, NotAsked, misfits
from bench.checks.fields import branches, verdict
from methods.base import Method, MethodBase
from records.cards import MethodCard, TaskCard
from records.vocabulary import COMPOSITIONS, FAMILIES, nearest
from tasks.base import Task

# More than the tests of our own take: what acts late is to be seen with a method's usual values.
STEPS = 40
NAME = re.compile(r"[a-z][a-z0-9_]*")


def has_a_card(cls: type[MethodBase]) -> None:
    """The card is complete, and holds the entries that it cites."""
    card = cls.card
    check_card(MethodCard, card, ("title", "summary", "citation"))
    keys = [*card.citation.split(","), *(claim.source for claim in card.claims)]
    check_bibliography(card.bibtex, [*keys, *(each.source for each in card.search if each.source)])
    if card.family not in FAMILIES and (near := nearest(card.family, list(FAMILIES))):
        raise Fault(f"the card's family is {card.family!r}{near.rstrip(';')}", f"families are {', '.join(FAMILIES)}")
    if card.composition not in (*COMPOSITIONS, "none"):
        known = ", ".join((*COMPOSITIONS, "none"))
        raise Fault(f"the card's composition is {card.composition!r}", f"compositions are {known}")
    if not card.formula and card.family != "baseline":
        raise Fault("the card has no formula", "give it one: LaTeX, without dollar signs")
    named = [(each.name, "search") for each in card.search]
    named += [(name, "claims") for claim in card.claims for name in (claim.varies, *claim.matched) if name]
    for name, where in named:
        if name not in cls.model_fields and name != "adapter_parameters":
            raise Fault(f"the card's {where} name {name!r}, which is no hyperparameter", "name a field of the class")


def check_card(kind: Any, card: Any, filled: tuple[str, ...]) -> None:
    """Raises Fault where a card is not one, or lacks what is to be filled."""
    if not isinstance(card, kind):
        raise Fault(f"the card is a {type(card).__name__}", f"make it a Card of {kind.__module__}")
    try:
        TypeAdapter(kind).validate_python(asdict(card))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Fault(f"the card's {place} cannot be used: {first['msg']}", "see records/cards.py") from None
    if not NAME.fullmatch(card.name) and ":" not in card.name:
        raise Fault(f"the card's name is {card.name!r}", "use small letters, digits and underscores")
    for name in filled:
        if not getattr(card, name).strip():
            raise Fault(f"the card has no {name}", "reports show it: give it one")


def check_bibliography(bibtex: str, keys: list[str]) -> None:
    """Raises Fault where a key that is cited has no entry."""
    known = re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", bibtex, re.MULTILINE)
    for key in keys:
        if key not in known:
            raise Fault(
                f"the card cites {key!r}, and its bibtex has no such entry",
                f"add @article{{{key}, …}} to `bibtex` of the card",
            )


def can_be_called(cls: type[MethodBase]) -> None:
    """What it overrides can be called as the engine calls it."""
    base = Method if issubclass(cls, Method) else MethodBase
    _check_signatures(cls, base)
    ours = [name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")]
    hooks = [name for name in dir(Method) if not name.startswith(("_", "model_"))]
    for name in ours:
        if name not in hooks and (close := get_close_matches(name, hooks, 1, 0.85)):
            raise Fault(f"nothing calls {name}()", f"did you mean {close[0]}()? If not, give it another name")


def task_can_be_called(cls: type[Task]) -> None:
    """What it overrides can be called as the engine calls it."""
    _check_signatures(cls, Task)


def _check_signatures(cls: type, base: type) -> None:
    for name, called in misfits(cls, base):
        raise Fault(f"{name} cannot be called as {called}", f"write: def {called.replace('(', '(self, ', 1)}")


def has_defaults(cls: type[MethodBase]) -> None:
    """Every hyperparameter has a default and a type, and survives being written down."""
    for name, field in cls.model_fields.items():
        if field.is_required():
            raise Fault(f"the field {name!r} has no default", "give it one: suites may name the method alone")
    method = cls()
    if cls(**method.hyperparameters()) != method:
        raise Fault("written down as JSON and read again, the hyperparameters are others", "use plain types for fields")


def has_an_effect(cls: type[MethodBase], field: str, options: dict[str, Any]) -> None:
    """Another value changes what is trained, or what training makes of it, or is refused."""
    found = [(beside, verdict(cls, field, beside, STEPS)) for beside in branches(cls, options)]
    idle = [beside for beside, said in found if said == "idle"]
    if idle:
        beside = ", ".join(f"{name}={value!r}" for name, value in idle[0].items() if name != field)
        raise Fault(
            f"the field {field!r} has no effect" + (f" beside {beside}" if beside else ""),
            "use it, take it out, or refuse it where it has none (`refuse_idle`); two values would be two cells of one"
            " result",
        )
    if not any(said == "effect" for _, said in found):
        raise NotAsked(
            "no other value is known that it takes" if found[0][1] == "unknown" else "other values are refused"
        )


def task_has_a_card(cls: Any) -> None:
    """The card is complete, and holds the entries that it cites."""
    card = cls.card
    check_card(TaskCard, card, ("title", "summary", "split", "licence", "citation"))
    check_bibliography(card.bibtex, card.citation.split(","))
    if not card.metrics:
        raise Fault("the card has no metrics", "name them, the primary one first")
    if card.kind in ("classification", "tagging") and len(card.labels) < 2:
        raise Fault(f"the card has {len(card.labels)} labels", "name the classes, in the order of their numbers")
    if len(set(card.labels)) < len(card.labels):
        raise Fault("two labels of the card are the same", "name each class once")
    if card.assumed:
        raise Fault(
            f"nobody knows how the metric {card.assumed[0]!r} is read",
            f"say so: Metric({card.assumed[0]!r}, higher_is_better=…, high=…)",
        )
