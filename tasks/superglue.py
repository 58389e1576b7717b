"""SuperGLUE (Wang et al., 2019): eight tasks of reading and inference. The labels of its test sets are not public: its
validation sets serve as ours for testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from tasks import metrics
from tasks.base import Card, Kind
from tasks.glue import ENTAILMENT
from tasks.hub import SEE_PAGE, HubTask, Row, Source, fetch
from tasks.papers import bibtex

REPO = "aps/super_glue"
COMMIT = "3de24cf8022e94f4ee4b9d55a6f539891524d646"

NO_YES = ("no", "yes")


class SuperGlue(HubTask):
    """A task of SuperGLUE: `measure` names its metrics, `question` is what a generating backbone is
    asked, with the columns of a row in place of their names in braces."""

    question: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = NO_YES
    measure: ClassVar[str] = "accuracy"

    @override
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        scores: dict[str, float] = getattr(metrics, self.measure)(predictions, references)
        return scores

    @override
    def score_each(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, list[float]]:
        if each := getattr(metrics, f"{self.measure}_each", None):
            found: dict[str, list[float]] = each(predictions, references)
            return found
        return super().score_each(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return self.question.format_map(row)

    @override
    def verbalisers(self) -> tuple[str, ...]:
        return self.words


def _source(config: str) -> Source:
    return Source(REPO, COMMIT, config, test="validation")


def _card(
    name: str, title: str, summary: str, train: int, test: int, citation: str, labels: tuple[str, ...] = NO_YES,
    measures: tuple[str, ...] = ("accuracy",), kind: Kind = "classification", licence: str = SEE_PAGE, of: str = "text",
) -> Card:  # fmt: skip
    citation = f"wang2019superglue,{citation}"
    return Card(
        name=name, title=f"{title} (SuperGLUE)", kind=kind, metrics=measures, labels=labels, summary=summary,
        split="Test is the public validation set, since the labels of SuperGLUE's test sets are not public; validation"
        f" is a tenth of the public training set, by a hash of its {of}.",
        size=f"{train:,} to train and validate / {test:,}", licence=licence, citation=citation,
        bibtex=bibtex(citation),
    )  # fmt: skip


class BoolQ(SuperGlue):
    """Questions of yes or no (Clark et al. 2019)."""

    source = _source("boolq")
    card = _card("boolq", "BoolQ", "Does a passage answer a question with yes or no?", 9427, 3270, "clark2019boolq",
                 licence="CC BY-SA 3.0")  # fmt: skip
    question = "{text_pair}\nQuestion: {text}? Yes or no?"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["question"], "text_pair": row["passage"], "label": row["label"]}


class CB(SuperGlue):
    """CommitmentBank (de Marneffe et al. 2019)."""

    source = _source("cb")
    card = _card("cb", "CommitmentBank", "Is the author of a passage committed to a clause embedded in it?", 250, 56,
                 "demarneffe2019cb", ("entailment", "contradiction", "neutral"), ("f1_macro", "accuracy"))  # fmt: skip
    question = "{text}\nQuestion: {text_pair} True, false or neither?"
    words = ("true", "false", "neither")
    measure = "f1_macro_first"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["premise"], "text_pair": row["hypothesis"], "label": row["label"]}


class COPA(SuperGlue):
    """Causes and effects (Roemmele et al. 2011)."""

    source = _source("copa")
    card = _card("copa", "COPA", "Which of two sentences is the more plausible cause or effect of a premise?", 400, 100,
                 "roemmele2011copa", (), kind="multiple choice")  # fmt: skip
    question = "{text}"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        asked = {"cause": "What was the cause?", "effect": "What happened as a result?"}[row["question"]]
        return {
            "text": f"{row['premise']} {asked}", "choices": [row["choice1"], row["choice2"]], "label": row["label"],
        }  # fmt: skip


class MultiRC(SuperGlue):
    """Every answer by itself, as encoders are trained. F1a is over all answers alike; the official exact match is of
    whole questions, which only `MultiRCLists` keeps together."""

    source = _source("multirc")
    group = "text_pair"
    card = _card("multirc", "MultiRC", "Is this one of the right answers to a question about a passage?", 27243, 4848,
                 "khashabi2018multirc", measures=("f1a", "accuracy"), of="passage")  # fmt: skip
    question = "{text_pair}\n{text}\nIs this answer right?"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {
            "text": f"{row['question']} {row['answer']}", "text_pair": row["paragraph"], "label": row["label"],
        }  # fmt: skip

    @override
    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        scores = metrics.f1_and_accuracy(predictions, references)
        return {"f1a": scores["f1"], "accuracy": scores["accuracy"]}


class MultiRCLists(SuperGlue):
    """A question with all its answers: the numbers of the right ones are to be listed, such as `1, 3`, or `none`."""

    source = _source("multirc")
    group = "text_pair"
    card = _card("multirc_lists", "MultiRC, by question", "Which of several answers to a question about a passage are"
                 " right?", 5100, 953, "khashabi2018multirc", (), ("f1a", "exact_match"), "generation",
                 of="passage")  # fmt: skip
    question = "{text_pair}\n{text}\nThe numbers of all right answers:"
    measure = "answer_sets"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        asked = [f"{number}. {answer}" for number, answer in enumerate(row["answers"], 1)]
        right = [str(number) for number, label in enumerate(row["labels"], 1) if label]
        return {
            "text": "\n".join([row["question"], *asked]), "text_pair": row["paragraph"],
            "targets": [", ".join(right) or "none"],
        }  # fmt: skip

    def rows(self, source: Source, split: str) -> Any:
        """One row a question, in the order in which the questions first occur."""
        from datasets import Dataset

        questions: dict[tuple[int, int], dict[str, Any]] = {}
        for row in fetch(source, split):
            key = (row["idx"]["paragraph"], row["idx"]["question"])
            empty: dict[str, Any] = {
                "paragraph": row["paragraph"],
                "question": row["question"],
                "answers": [],
                "labels": [],
            }
            question = questions.setdefault(key, empty)
            question["answers"].append(row["answer"])
            question["labels"].append(row["label"])
        return Dataset.from_list(list(questions.values()))


class ReCoRD(SuperGlue):
    """As extraction: the placeholder's entity is to be found in the passage."""

    source = _source("record")
    group = "text_pair"
    card = _card("record", "ReCoRD", "Which entity of a news article belongs in the gap of a sentence about it?",
                 100730, 10000, "zhang2018record", (), ("f1", "exact_match"), "extractive QA",
                 of="passage")  # fmt: skip
    question = "{text_pair}\n{text}\nWhat does @placeholder stand for?"
    measure = "answers"
    unkept = "the answer is not among the marked entities"

    @override
    def keep(self, row: Row) -> bool:
        return any(text in row["answers"] for text in row["entity_spans"]["text"])

    @override
    def example(self, row: Row) -> dict[str, Any]:
        spans = zip(row["entity_spans"]["text"], row["entity_spans"]["start"], strict=True)
        found = sorted((start, text) for text, start in spans if text in row["answers"])
        return {
            "text": row["query"], "text_pair": row["passage"], "answers": [text for _, text in found],
            "starts": [start for start, _ in found],
        }  # fmt: skip


class SuperGlueRTE(SuperGlue):
    """The data of GLUE's RTE, as SuperGLUE has it."""

    source = _source("rte")
    card = _card("superglue_rte", "RTE", "Does a premise entail a hypothesis?", 2490, 277, "dagan2005rte", ENTAILMENT)
    question = "{text}\nQuestion: {text_pair} True or false?"
    words = ("true", "false")

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": row["premise"], "text_pair": row["hypothesis"], "label": row["label"]}


class WiC(SuperGlue):
    """Words in context (Pilehvar and Camacho-Collados 2019)."""

    source = _source("wic")
    card = _card("wic", "WiC", "Does a word have the same meaning in two sentences?", 5428, 638, "pilehvar2019wic",
                 licence="CC BY-NC 4.0")  # fmt: skip
    question = "{text}\n{text_pair}\nIs the word used in the same sense in both sentences?"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        return {"text": f"{row['word']}: {row['sentence1']}", "text_pair": row["sentence2"], "label": row["label"]}


class WSC(SuperGlue):
    """The pronoun is set between asterisks, and the candidate follows as the pair (as Raffel et al., 2020, mark it)."""

    source = _source("wsc")
    card = _card("wsc", "WSC", "Does a pronoun refer to a given noun phrase?", 554, 104, "levesque2012wsc")
    question = "{text}\nDoes the pronoun between asterisks refer to {text_pair}?"

    @override
    def example(self, row: Row) -> dict[str, Any]:
        words = row["text"].split()
        start, size = row["span2_index"], len(row["span2_text"].split())
        marked = [*words[:start], "*", *words[start : start + size], "*", *words[start + size :]]
        return {"text": " ".join(marked), "text_pair": row["span1_text"], "label": row["label"]}
