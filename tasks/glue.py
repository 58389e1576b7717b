"""GLUE (Wang et al., 2019): nine tasks of sentences and pairs of sentences. The labels of its test sets are not public:
its validation sets serve as ours for testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from tasks import metrics
from tasks.base import Card, Kind
from tasks.hub import SEE_PAGE, HubTask, Row, Source
from tasks.papers import bibtex

REPO = "nyu-mll/glue"
COMMIT = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

ENTAILMENT = ("entailment", "not_entailment")
THREE_WAY = ("entailment", "neutral", "contradiction")


class Glue(HubTask):
    """A task of GLUE: the hub's columns of its text and of the pair, if any, and the name of its metrics."""

    columns: ClassVar[tuple[str, ...]]
    # What a generating backbone is asked, with the columns of a row in place of their names in braces.
    question: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = ()
    measure: ClassVar[str] = "accuracy"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        names = ("text", "text_pair")[: len(self.columns)]
        return {name: row[column] for name, column in zip(names, self.columns, strict=True)} | {"label": row["label"]}

    @override
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        scores: dict[str, float] = getattr(metrics, self.measure)(predictions, references)
        return scores

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return self.question.format_map(row)

    @override
    def verbalisers(self) -> tuple[str, ...]:
        return self.words or super().verbalisers()


def _source(config: str, test: str = "validation") -> Source:
    return Source(REPO, COMMIT, config, test=test)


def _card(
    name: str, title: str, summary: str, train: int, test: int, citation: str,
    labels: tuple[str, ...] = (), measures: tuple[str, ...] = ("accuracy",), kind: Kind = "classification",
) -> Card:  # fmt: skip
    citation = f"wang2019glue,{citation}"
    return Card(
        name=name, title=f"{title} (GLUE)", kind=kind, metrics=measures, labels=labels, summary=summary,
        split="Test is the public validation set, since the labels of GLUE's test sets are not public; validation is a"
        " tenth of the public training set, by a hash of its text.",
        size=f"{train:,} to train and validate / {test:,}", licence=SEE_PAGE, citation=citation,
        bibtex=bibtex(citation),
    )  # fmt: skip


class CoLA(Glue):
    """Acceptability (Warstadt et al. 2019)."""

    source = _source("cola")
    columns = ("sentence",)
    card = _card("cola", "CoLA", "Is a sentence acceptable English?", 8551, 1043, "warstadt2019cola",
                 ("unacceptable", "acceptable"), ("matthews", "accuracy"))  # fmt: skip
    question = "{text}\nIs this sentence acceptable English?"
    words = ("no", "yes")
    measure = "matthews"


class SST2(Glue):
    """Sentiment (Socher et al. 2013)."""

    source = _source("sst2")
    columns = ("sentence",)
    card = _card("sst2", "SST-2", "Phrases and sentences of movie reviews, negative or positive.", 67349, 872,
                "socher2013sst", ("negative", "positive"))  # fmt: skip
    question = "{text}\nIs this review negative or positive?"


class MRPC(Glue):
    """Paraphrase (Dolan and Brockett 2005)."""

    source = _source("mrpc")
    columns = ("sentence1", "sentence2")
    card = _card("mrpc", "MRPC", "Do two sentences from the news mean the same?", 3668, 408, "dolan2005mrpc",
                ("not_equivalent", "equivalent"), ("f1", "accuracy"))  # fmt: skip
    question = "{text}\n{text_pair}\nDo these two sentences mean the same?"
    words = ("no", "yes")
    measure = "f1_and_accuracy"


class QQP(Glue):
    """Questions asked twice, on Quora."""

    source = _source("qqp")
    columns = ("question1", "question2")
    card = _card("qqp", "QQP", "Do two questions put to Quora ask the same?", 363846, 40430, "iyer2017qqp",
                ("not_duplicate", "duplicate"), ("f1", "accuracy"))  # fmt: skip
    question = "{text}\n{text_pair}\nDo these two questions ask the same?"
    words = ("no", "yes")
    measure = "f1_and_accuracy"


class STSB(Glue):
    """Similarity of sentences (Cer et al. 2017)."""

    source = _source("stsb")
    columns = ("sentence1", "sentence2")
    card = _card("stsb", "STS-B", "How similar in meaning are two sentences, from 0 to 5?", 5749, 1500, "cer2017stsb",
                (), ("pearson", "spearman"), "regression")  # fmt: skip
    question = "{text}\n{text_pair}\nHow similar are these two sentences in meaning, from 0 to 5?"
    measure = "correlations"


class MNLI(Glue):
    """Inference (Williams et al. 2018), on the genres that were trained on."""

    source = _source("mnli", "validation_matched")
    columns = ("premise", "hypothesis")
    card = _card("mnli", "MNLI matched", "Does a premise entail, contradict or leave open a hypothesis? Tested on the"
                " genres of the training set.", 392702, 9815, "williams2018mnli", THREE_WAY)  # fmt: skip
    question = "{text}\nQuestion: {text_pair} Is this true, false or neither?"
    words = ("true", "neither", "false")


class MNLIMismatched(MNLI):
    """Inference on genres that were not trained on."""

    source = _source("mnli", "validation_mismatched")
    card = _card("mnli_mismatched", "MNLI mismatched", "Does a premise entail, contradict or leave open a hypothesis?"
                " Tested on genres that the training set has not.", 392702, 9832, "williams2018mnli",
                THREE_WAY)  # fmt: skip


class QNLI(Glue):
    """Whether a sentence answers a question, made of SQuAD (Rajpurkar et al. 2016)."""

    source = _source("qnli")
    columns = ("question", "sentence")
    card = _card("qnli", "QNLI", "Does a sentence hold the answer to a question?", 104743, 5463, "rajpurkar2016squad",
                ENTAILMENT)  # fmt: skip
    question = "{text}\n{text_pair}\nDoes the sentence answer the question?"
    words = ("yes", "no")


class RTE(Glue):
    """Recognising textual entailment (Dagan et al. 2006, and those after)."""

    source = _source("rte")
    columns = ("sentence1", "sentence2")
    card = _card("rte", "RTE", "Does a premise entail a hypothesis?", 2490, 277, "dagan2005rte", ENTAILMENT)
    question = "{text}\nQuestion: {text_pair} True or false?"
    words = ("true", "false")


class WNLI(Glue):
    """Winograd schemas as inference (Levesque et al. 2012)."""

    source = _source("wnli")
    columns = ("sentence1", "sentence2")
    card = _card("wnli", "WNLI", "Does a sentence entail itself with a pronoun replaced? Its training and validation"
                " sets were divided adversarially, so that most results lie below the majority's.", 635, 71,
                "levesque2012wsc", ("not_entailment", "entailment"))  # fmt: skip
    question = "{text}\nQuestion: {text_pair} True or false?"
    words = ("false", "true")
