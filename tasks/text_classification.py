"""Classification of single texts, from the hub. Names that an embedded task has as well begin with `hub_`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from tasks import metrics
from tasks.base import Card
from tasks.hub import SEE_PAGE, HubTask, Row, Source
from tasks.papers import bibtex

SENTIMENT = ("negative", "positive")
TREC_COARSE = ("abbreviation", "entity", "description", "person", "location", "number")
# In the order of the hub's labels: ABBR, ENTY, DESC, HUM, LOC, NUM and their divisions.
TREC_FINE = (
    "abbreviation", "expansion", "animal", "body", "colour", "creation", "currency", "disease_or_medicine", "event",
    "food", "instrument", "language", "letter", "other_entity", "plant", "product", "religion", "sport",
    "substance", "symbol", "technique", "term", "vehicle", "word", "definition", "description", "manner", "reason",
    "group", "individual", "title", "description_of_a_person", "city", "country", "mountain", "other_location",
    "state", "code", "count", "date", "distance", "money", "order", "other_number", "period", "percent", "speed",
    "temperature", "size", "weight",
)  # fmt: skip


class Texts(HubTask):
    """A classification of the column `text` by the column `target`."""

    target: ClassVar[str] = "label"
    question: ClassVar[str]

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["text"], "label": row[self.target]}

    @override
    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"{row['text']}\n{self.question}"


def _card(
    name: str, title: str, summary: str, labels: tuple[str, ...], size: str, citation: str, split: str = ""
) -> Card:
    return Card(
        name=name, title=title, kind="classification", metrics=("accuracy", "f1_macro"), labels=labels, summary=summary,
        split=split or "Test is the public test set; validation is a tenth of the training set, by a hash of its text.",
        size=size, licence=SEE_PAGE, citation=citation, bibtex=bibtex(citation),
    )  # fmt: skip


class AGNews(Texts):
    """AG's news (Zhang et al. 2015)."""

    source = Source("fancyzhx/ag_news", "eb185aade064a813bc0b7f42de02595523103ca4")
    card = _card("ag_news", "AG News", "Titles and beginnings of news articles, to be assigned to one of four"
                 " sections.",
                 ("world", "sports", "business", "science_and_technology"), "120,000 to train and validate / 7,600",
                 "zhang2015character")  # fmt: skip
    question = "Is this about world affairs, sports, business, or science and technology?"


class TREC(Texts):
    """The hub's main branch holds a script; the converted Parquet is read instead."""

    source = Source("CogComp/trec", "65752bf53af25bc935a0dce92fb5b6c930728450")
    target = "coarse_label"
    card = _card("trec", "TREC", "What sort of thing does a question ask for? Six classes.", TREC_COARSE,
                 "5,452 to train and validate / 500", "li2002learning")  # fmt: skip
    question = "What does this question ask for: abbreviation, entity, description, person, location or number?"


class TRECFine(TREC):
    """TREC in its fifty classes (Li and Roth 2002)."""

    target = "fine_label"
    card = _card("trec_fine", "TREC, 50 classes", "What sort of thing does a question ask for? Fifty classes.",
                 TREC_FINE, "5,452 to train and validate / 500", "li2002learning")  # fmt: skip
    question = "In one word, what does this question ask for?"


class HubIMDB(Texts):
    """IMDB as the hub has it (Maas et al. 2011)."""

    source = Source("stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31")
    card = _card("hub_imdb", "IMDB", "Movie reviews of several paragraphs, to be told apart as negative or positive.",
                 SENTIMENT, "25,000 to train and validate / 25,000", "maas2011learning")  # fmt: skip
    question = "Is this review negative or positive?"


class HubRottenTomatoes(Texts):
    """Rotten Tomatoes as the hub has it (Pang and Lee 2005)."""

    source = Source(
        "cornell-movie-review-data/rotten_tomatoes", "aa13bc287fa6fcab6daf52f0dfb9994269ffea28", validation="validation"
    )
    card = _card("hub_rotten_tomatoes", "Rotten Tomatoes (MR)",
                 "One-sentence movie reviews, to be told apart as negative or positive.", SENTIMENT,
                 "8,530 / 1,066 / 1,066", "pang2005seeing", "As published on the hub.")  # fmt: skip
    question = "Is this review negative or positive?"
