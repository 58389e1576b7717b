"""Grade-school mathematics, from the hub: worked solutions, of which the final number counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tasks import metrics
from tasks.base import Card
from tasks.hub import HubTask, Row, Source
from tasks.papers import bibtex
from tasks.splits import carve

if TYPE_CHECKING:
    from datasets import DatasetDict

# The results of a calculator, which GSM8K's solutions carry along: `48/2 = <<48/2=24>>24`.
_CALCULATOR = re.compile(r"<<[^>]*>>")


class GSM8K(HubTask):
    """Word problems (Cobbe et al. 2021)."""

    source = Source("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866", "main")
    card = Card(
        name="gsm8k", title="GSM8K", kind="generation", metrics=("exact_match",),
        summary="Word problems of grade-school mathematics; the solution is written out, and its final number scored.",
        split="Test is the public test set; validation is a tenth of the training set, by a hash of the problem.",
        size="7,473 to train and validate / 1,319", licence="MIT", citation="cobbe2021gsm8k",
        bibtex=bibtex("cobbe2021gsm8k"),
    )  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["question"], "targets": [_CALCULATOR.sub("", row["answer"])]}

    @override
    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        return metrics.final_numbers(predictions, references)

    @override
    def score_each(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        return metrics.final_numbers_each(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"Question: {row['text']}\nAnswer:"


class MetaMath(GSM8K):
    """Trained on the part of MetaMathQA that was made from GSM8K's training problems, and tested on GSM8K."""

    training = Source("meta-math/MetaMathQA", "aa4f34d3d2d3231299b5b03d9b3e5a20da45aa18")
    unkept = "made of MATH's problems"
    card = Card(
        name="metamath", title="MetaMathQA to GSM8K", kind="generation", metrics=("exact_match",),
        summary="Word problems of grade-school mathematics, trained on rephrased and inverted ones with solutions"
        " that a larger model wrote; the final number is scored.",
        split="Test is GSM8K's test set; train and validation are what MetaMathQA made of GSM8K's training set, nine"
        " tenths and one tenth by a hash of the original problem, so that no problem is on both sides.",
        size="about 240,000 to train and validate / 1,319", licence="MIT", citation="yu2024metamath,cobbe2021gsm8k",
        bibtex=bibtex("yu2024metamath,cobbe2021gsm8k"),
    )  # fmt: skip

    @override
    def load(self) -> DatasetDict:
        from datasets import DatasetDict

        train, validation = carve(self.split(self.training, "train"), "original")
        return DatasetDict(
            train=train.remove_columns("original"), validation=validation.remove_columns("original"),
            test=self.split(self.source, "test"),
        )  # fmt: skip

    @override
    def keep(self, row: Row) -> bool:
        return str(row.get("type", "GSM")).startswith("GSM")

    @override
    def example(self, row: Row) -> dict[str, Any]:
        if "query" not in row:
            return super().example(row)
        return {"text": row["query"], "targets": [row["response"]], "original": row["original_question"]}

    @classmethod
    @override
    def sources(cls) -> tuple[Source, ...]:
        return (cls.training, cls.source)
