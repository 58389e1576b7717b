"""Named entities, from the hub, scored by whole entities. Their main branches hold scripts, and no commit of the
converted Parquet could be verified when this was written: the branch is read, and its commit told by `commits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from tasks import metrics
from tasks.base import Card
from tasks.hub import CONVERTED, SEE_PAGE, HubTask, Row, Source
from tasks.papers import bibtex

METRICS = ("f1_entity", "precision_entity", "recall_entity")


def bio(*types: str) -> tuple[str, ...]:
    """The tags of such entities: where none is, one begins, one goes on."""
    return ("O", *(f"{place}-{kind}" for kind in types for place in "BI"))


class Entities(HubTask):
    """Named entities of some types."""

    unkept = "sentences without a word"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"words": row["tokens"], "label": row["ner_tags"]}

    @override
    def keep(self, row: Row) -> bool:
        return bool(row["tokens"])

    @override
    def score(self, predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> dict[str, float]:
        return metrics.entities(predictions, references, self.card.labels)


class CoNLL2003(Entities):
    """CoNLL-2003 (Tjong Kim Sang and De Meulder 2003)."""

    source = Source("eriktks/conll2003", CONVERTED, validation="validation")
    card = Card(
        name="conll2003", title="CoNLL-2003", kind="tagging", metrics=METRICS,
        labels=bio("PER", "ORG", "LOC", "MISC"),
        summary="Persons, organisations, locations and other names in Reuters news.", split="As published.",
        size="14,041 / 3,250 / 3,453", licence=SEE_PAGE, citation="tjong2003conll", bibtex=bibtex("tjong2003conll"),
    )  # fmt: skip


class WNUT17(Entities):
    """WNUT-17 (Derczynski et al. 2017)."""

    source = Source("leondz/wnut_17", CONVERTED, validation="validation")
    card = Card(
        name="wnut_17", title="WNUT-17", kind="tagging", metrics=METRICS,
        labels=bio("corporation", "creative-work", "group", "location", "person", "product"),
        summary="Rare and new names in posts from social media.", split="As published.", size="3,394 / 1,009 / 1,287",
        licence="CC BY 4.0", citation="derczynski2017wnut", bibtex=bibtex("derczynski2017wnut"),
    )  # fmt: skip
