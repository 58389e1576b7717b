"""What a report relies on in the cards of a results folder, which a stranger may have written: checked once, before
anything is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictStr, StringConstraints, ValidationError

from bench.records import Manifest, ResultsError
from reports.quantities import shorten

# Letters of a text, and of a bibliography.
LONGEST, LONGEST_BIBLIOGRAPHY = 20_000, 500_000
Text = Annotated[StrictStr, StringConstraints(max_length=LONGEST)]
MaybeText = Text | None


class _Checked(BaseModel):
    """Fields that a report does not read are let through."""

    model_config = ConfigDict(extra="ignore")


class _Card(_Checked):
    title: MaybeText = None
    summary: MaybeText = None
    licence: MaybeText = None
    citation: MaybeText = None
    bibtex: Annotated[StrictStr, StringConstraints(max_length=LONGEST_BIBLIOGRAPHY)] | None = None


class _Claim(_Checked):
    text: Text
    source: MaybeText = None
    measure: Text
    comparator: Text
    relation: Literal["at least", "at most", "higher", "lower", "equal"]
    margin: FiniteFloat = Field(0.0, ge=0)
    factor: FiniteFloat = Field(1.0, gt=0)
    scope: Text = ""
    matched: list[Text] = []
    varies: Text = ""
    task_kind: Text = ""
    max_train_examples: int | None = None
    untestable: Text = ""


class _Method(_Card):
    family: MaybeText = None
    composition: MaybeText = None
    formula: MaybeText = None
    claims: list[_Claim] | None = None


class _Scale(_Checked):
    higher_is_better: bool = True
    low: FiniteFloat | None = 0.0
    high: FiniteFloat | None = 1.0


class _Task(_Card):
    kind: MaybeText = None
    split: MaybeText = None
    metrics: list[Text] | None = None
    labels: list[Text | bool | float] | None = None
    scales: dict[str, _Scale] | None = None
    assumed: list[Text] | None = None


class _Backbone(_Card):
    architecture: MaybeText = None
    parameters: FiniteFloat | None = None


_KINDS: dict[str, type[_Card]] = {"methods": _Method, "tasks": _Task, "backbones": _Backbone}


def check(manifest: Manifest, path: Path) -> None:
    """Raises ResultsError, with the first card and field that cannot be used, in one line."""
    for kind, shape in _KINDS.items():
        for name, card in manifest.cards.get(kind, {}).items():
            try:
                shape.model_validate(card or {})
            except ValidationError as error:
                first = error.errors()[0]
                said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
                whose = f"{kind.removesuffix('s')} {shorten(name, 80)!r}"
                raise ResultsError(f"{path}: the card of the {whose} cannot be used: {said}") from None
