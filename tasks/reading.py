"""Reading comprehension and summaries, from the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from tasks import metrics
from tasks.base import Card
from tasks.hub import CONVERTED, SEE_PAGE, HubTask, Row, Source
from tasks.papers import bibtex


class SQuAD(HubTask):
    """The test set was never published: the validation set serves for testing, as everywhere."""

    source = Source("rajpurkar/squad", "7b6d24c440a36b6815f21b70d25016731768db1f", test="validation")
    group = "text_pair"
    card = Card(
        name="squad", title="SQuAD 1.1", kind="extractive QA", metrics=("f1", "exact_match"),
        summary="Questions about paragraphs of Wikipedia, each answered by a passage of the paragraph.",
        split="Test is the public validation set; validation is a tenth of the training set, by a hash of the"
        " paragraph.",
        size="87,599 to train and validate / 10,570", licence="CC BY-SA 4.0", citation="rajpurkar2016squad",
        bibtex=bibtex("rajpurkar2016squad"),
    )  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        answers = row["answers"]
        return {
            "text": row["question"], "text_pair": row["context"], "answers": answers["text"],
            "starts": answers["answer_start"],
        }  # fmt: skip

    @override
    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        return metrics.answers(predictions, references)

    @override
    def score_each(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        return metrics.answers_each(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"{row['text_pair']}\nQuestion: {row['text']}\nAnswer:"


class Summaries(HubTask):
    """`columns` are the hub's for the text and its summary."""

    columns: ClassVar[tuple[str, str]]
    request: ClassVar[str]
    unkept = "without text or summary"

    @override
    def keep(self, row: Row) -> bool:
        return all(row[column] for column in self.columns)

    @override
    def example(self, row: Row) -> dict[str, Any]:
        text, summary = self.columns
        return {"text": row[text], "targets": [row[summary]]}

    @override
    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        return metrics.rouge(predictions, references)

    @override
    def score_each(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        return metrics.rouge_each(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"{row['text']}\n{self.request}"


class XSum(Summaries):
    """The main branch holds a script, and no commit of the converted Parquet could be verified: the branch is read."""

    source = Source("EdinburghNLP/xsum", CONVERTED, validation="validation")
    columns = ("document", "summary")
    request = "Summary in one sentence:"
    card = Card(
        name="xsum", title="XSum", kind="generation", metrics=("rouge_l", "rouge_1", "rouge_2"),
        summary="Articles of the BBC, to be summarised in a single sentence.", split="As published.",
        size="204,045 / 11,332 / 11,334", licence=SEE_PAGE, citation="narayan2018xsum",
        bibtex=bibtex("narayan2018xsum"),
    )  # fmt: skip


class SAMSum(Summaries):
    """The authors' own repository is gone from the hub, and no commit of this copy could be verified: main is read."""

    source = Source("knkarthick/samsum", "main", validation="validation")
    columns = ("dialogue", "summary")
    request = "Summary of the conversation:"
    card = Card(
        name="samsum", title="SAMSum", kind="generation", metrics=("rouge_l", "rouge_1", "rouge_2"),
        summary="Conversations in a messenger, to be summarised.", split="As published.", size="14,732 / 818 / 819",
        licence="CC BY-NC-ND 4.0", citation="gliwa2019samsum", bibtex=bibtex("gliwa2019samsum"),
    )  # fmt: skip
