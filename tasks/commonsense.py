"""Multiple choice about everyday knowledge, from the hub: which continuation, or answer, is the likeliest? Where the
labels of a test set are not public, the validation set serves for testing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from tasks import metrics
from tasks.base import Card
from tasks.hub import CONVERTED, SEE_PAGE, HubTask, Row, Source
from tasks.papers import bibtex


class Choice(HubTask):
    """The choices continue the prompt."""

    @override
    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.accuracy(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"Question: {row['text']}\nAnswer:"


def _card(
    name: str, title: str, summary: str, size: str, citation: str, licence: str = SEE_PAGE, hidden: bool = True
) -> Card:
    split = (
        "Test is the public validation set, since the labels of the test set are not public; validation is a tenth of"
        " the training set, by a hash of its text."
    )
    return Card(
        name=name, title=title, kind="multiple choice", metrics=("accuracy",), summary=summary,
        split=split if hidden else "As published.", size=size, licence=licence, citation=citation,
        bibtex=bibtex(citation),
    )  # fmt: skip


class PIQA(Choice):
    """A copy as Parquet: the authors' repository holds a script."""

    source = Source("baber/piqa", "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1", test="validation")
    card = _card("piqa", "PIQA", "Which of two ways leads to a goal in the physical world?",
                 "16,113 to train and validate / 1,838", "bisk2020piqa")  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["goal"], "choices": [row["sol1"], row["sol2"]], "label": row["label"]}


class HellaSwag(Choice):
    """HellaSwag (Zellers et al. 2019)."""

    source = Source("Rowan/hellaswag", "218ec52e09a7e7462a5400043bb9a69a41d06b76", test="validation")
    card = _card("hellaswag", "HellaSwag", "Which of four endings continues the description of an everyday scene?",
                 "39,905 to train and validate / 10,042", "zellers2019hellaswag", "MIT")  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {
            "text": plain(f"{row['activity_label']}: {row['ctx']}"), "choices": [plain(end) for end in row["endings"]],
            "label": int(row["label"]),
        }  # fmt: skip

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return str(row["text"])


def plain(text: str) -> str:
    """A text of HellaSwag without the marks of WikiHow, such as `[title]` and `[step]`."""
    return " ".join(re.sub(r"\[.*?\]", " ", text.replace(" [title]", ". ")).split())


class WinoGrande(Choice):
    """A choice is what fills the gap and all that follows it, so that it can be read as a continuation."""

    source = Source(
        "allenai/winogrande", "01e74176c63542e6b0bcb004dcdea22d94fb67b5", "winogrande_xl", test="validation"
    )
    card = _card("winogrande", "WinoGrande", "Which of two names fills the gap in a sentence?",
                 "40,398 to train and validate / 1,267", "sakaguchi2020winogrande")  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        before, _, after = row["sentence"].partition("_")
        choices = [f"{row[option]}{after}" for option in ("option1", "option2")]
        return {"text": before.rstrip(), "choices": choices, "label": int(row["answer"]) - 1}

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return str(row["text"])


class Lettered(Choice):
    """A question whose choices go by letters, or by numbers."""

    column = "question"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        letters = row["choices"]["label"]
        return {"text": row[self.column], "choices": row["choices"]["text"], "label": letters.index(row["answerKey"])}


ARC = ("allenai/ai2_arc", "210d026faf9955653af8916fad021475a3f00453")


class ARCEasy(Lettered):
    """The easy questions of ARC (Clark et al. 2018)."""

    source = Source(*ARC, "ARC-Easy", validation="validation")
    card = _card("arc_easy", "ARC-Easy", "Questions of science at school, the easier part.", "2,251 / 570 / 2,376",
                 "clark2018arc", "CC BY-SA 4.0", hidden=False)  # fmt: skip


class ARCChallenge(Lettered):
    """The hard questions of ARC (Clark et al. 2018)."""

    source = Source(*ARC, "ARC-Challenge", validation="validation")
    card = _card("arc_challenge", "ARC-Challenge", "Questions of science at school that neither retrieval nor"
                 " co-occurrence answered.", "1,119 / 299 / 1,172", "clark2018arc", "CC BY-SA 4.0",
                 hidden=False)  # fmt: skip


class OpenBookQA(Lettered):
    """OpenBookQA (Mihaylov et al. 2018), without the book."""

    source = Source("allenai/openbookqa", "388097ea7776314e93a529163e0fea805b8a6454", "main", validation="validation")
    column = "question_stem"
    card = _card("openbookqa", "OpenBookQA", "Questions of elementary science, without the book of facts.",
                 "4,957 / 500 / 500", "mihaylov2018openbookqa", hidden=False)  # fmt: skip


class CommonsenseQA(Lettered):
    """CommonsenseQA (Talmor et al. 2019)."""

    source = Source("tau/commonsense_qa", "94630fe30dad47192a8546eb75f094926d47e155", test="validation")
    card = _card("commonsense_qa", "CommonsenseQA", "Questions of everyday knowledge with five answers.",
                 "9,741 to train and validate / 1,221", "talmor2019commonsenseqa", "MIT")  # fmt: skip


class SocialIQA(Choice):
    """The main branch holds a script, and no commit of the converted Parquet could be verified: the branch is read."""

    source = Source("allenai/social_i_qa", CONVERTED, test="validation")
    card = _card("social_iqa", "Social IQa", "Why do people do what they do, and how do they feel about it?",
                 "33,410 to train and validate / 1,954", "sap2019socialiqa")  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        choices = [row[f"answer{letter}"] for letter in "ABC"]
        return {"text": f"{row['context']} {row['question']}", "choices": choices, "label": int(row["label"]) - 1}


class BoolQChoice(Choice):
    """BoolQ by the likelihood of `yes` and `no`; as a classification it is SuperGLUE's `boolq`."""

    source = Source("google/boolq", "35b264d03638db9f4ce671b711558bf7ff0f80d5", test="validation")
    card = _card("boolq_choice", "BoolQ, by likelihood", "Does a passage answer a question with yes or no?",
                 "9,427 to train and validate / 3,270", "clark2019boolq", "CC BY-SA 3.0")  # fmt: skip

    @override
    def example(self, row: Row) -> dict[str, Any]:
        text = f"{row['passage']}\n{row['question'].capitalize()}?"
        return {"text": text, "choices": ["no", "yes"], "label": int(row["answer"])}
