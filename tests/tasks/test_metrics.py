"""Metrics against values worked out by hand from the official scorers' definitions."""

from __future__ import annotations

import math

import pytest

from tasks import metrics


def test_matthews_of_a_worked_confusion_matrix():
    """3 true positives, 2 true negatives, 1 false positive, 2 false negatives: (3·2 - 1·2) / √(4·5·3·4)."""
    references = [1, 1, 1, 0, 0, 0, 1, 1]
    predictions = [1, 1, 1, 0, 0, 1, 0, 0]
    scores = metrics.matthews(predictions, references)
    assert scores == {"matthews": pytest.approx(4 / math.sqrt(240)), "accuracy": 5 / 8}
    assert metrics.matthews([1, 1], [0, 1])["matthews"] == 0.0
    assert metrics.matthews([0, 1], [1, 0])["matthews"] == -1.0


def test_f1_of_the_positive_class_is_neither_macro_nor_micro():
    """1 true positive, 1 false positive, 2 false negatives: F1 2·1 / (2·1 + 1 + 2)."""
    scores = metrics.f1_and_accuracy([1, 1, 0, 0, 0], [1, 0, 1, 1, 0])
    assert scores == {"f1": pytest.approx(2 / 5), "accuracy": pytest.approx(2 / 5)}
    assert metrics.f1_and_accuracy([0, 0, 0, 1], [0, 0, 1, 0]) == {"f1": 0.0, "accuracy": 0.5}


def test_correlations():
    """Spearman sees only the order; Pearson of (1, 2, 4) and (1, 2, 3) is 3 / √(14/3 · 2)."""
    scores = metrics.correlations([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    assert scores == {"pearson": pytest.approx(3 / math.sqrt(28 / 3)), "spearman": pytest.approx(1.0)}
    assert metrics.correlations([2.0, 2.0], [1.0, 3.0]) == {"pearson": 0.0, "spearman": 0.0}
    with pytest.raises(ValueError, match="1 predictions of 2"):
        metrics.correlations([1.0], [1.0, 2.0])


LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_an_entity_counts_whole_or_not_at_all():
    """Of three entities one is found whole; one is cut short, one has the wrong type: 1 right of 3 given and 3 true."""
    references = [[1, 2, 0, 3], [1, 2, 2]]
    predictions = [[1, 2, 0, 1], [1, 2, 0]]
    third = pytest.approx(1 / 3)
    assert metrics.entities(predictions, references, LABELS) == {
        "f1_entity": third, "precision_entity": third, "recall_entity": third,
    }  # fmt: skip


def test_entities_are_told_apart_as_conlleval_does():
    """Two entities of one type side by side are two; an I- after O begins one, as in conlleval."""
    assert metrics.entities([[1, 2]], [[1, 1]], LABELS)["f1_entity"] == 0.0
    assert metrics.entities([[0, 2]], [[0, 1]], LABELS)["f1_entity"] == 1.0
    assert metrics.entities([[0, 0]], [[0, 1]], LABELS) == dict.fromkeys(
        ("f1_entity", "precision_entity", "recall_entity"), 0.0
    )
    with pytest.raises(ValueError, match="one predicted tag for each word"):
        metrics.entities([[0]], [[0, 1]], LABELS)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The  Cat", "cat"),
        ("an apple a day", "apple day"),
        ("U.S.", "us"),
        ("don't!", "dont"),
        ("theatre", "theatre"),
        ("the", ""),
        ("1,000", "1000"),
    ],
)
def test_squad_normalisation(answer: str, normal: str):
    assert metrics.normal(answer) == normal


def test_squad_takes_the_best_of_the_answers():
    """'big red dog' against 'the red dog': 2 shared of 3 and 2 words, F1 4/5; and against 'dog' 2/4."""
    scores = metrics.answers(["big red dog", "Paris."], [["dog", "the red dog"], ["paris"]])
    assert scores == {"f1": pytest.approx((4 / 5 + 1) / 2), "exact_match": 0.5}
    assert metrics.answers(["no no"], [["no"]])["f1"] == pytest.approx(2 / 3)
    assert metrics.answers([""], [["x"]]) == {"f1": 0.0, "exact_match": 0.0}


def test_rouge():
    """'the cat sat' against 'the cat ran home': 2 shared of 3 and 4 words, 1 shared of 2 and 3 pairs; LCS 2."""
    scores = metrics.rouge(["the cat sat"], [["nothing alike", "the cat ran home"]])
    assert scores == {
        "rouge_l": pytest.approx(4 / 7), "rouge_1": pytest.approx(4 / 7), "rouge_2": pytest.approx(2 / 5),
    }  # fmt: skip
    assert metrics.rouge(["running dogs"], [["run dog"]])["rouge_1"] == 1.0, "words are stemmed"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She has 3 + 4 = 7 apples.\n#### 7", 7.0),
        ("#### 1,234", 1234.0),
        ("so it costs $18.50.", 18.5),
        ("The answer is: -3", -3.0),
        ("The answer is 12. There were 40 others.", 12.0),
        ("first 5, then 6.", 6.0),
        ("it ends with 5.", 5.0),
        ("none", None),
        ("#### unknown, of 9 tries none", 9.0),
    ],
)
def test_the_number_that_a_solution_ends_in(text: str, number: float | None):
    assert metrics.final_number(text) == number


def test_a_solution_without_a_number_is_wrong():
    assert metrics.final_numbers(["The answer is: 7", "none", "#### 8"], [["#### 7.0"], ["#### 1"], ["#### 9"]]) == {
        "exact_match": pytest.approx(1 / 3)
    }


def test_multirc_by_question():
    """Answers judged right: {1, 3}, {2}, {}; truly right: {1, 3}, {1, 2}, {}. Shared 3 of 3 and 4: F1a 6/7; two whole
    questions of three."""
    scores = metrics.answer_sets(["1, 3", "2", "none"], [["1, 3"], ["1, 2"], ["none"]])
    assert scores == {"f1a": pytest.approx(6 / 7), "exact_match": pytest.approx(2 / 3)}


def test_the_probability_of_a_byte():
    """A text of 4 bytes in 2 tokens, each with probability 1/4: 1/16 in all, so 1/2 a byte."""
    scores = metrics.language_modelling([math.log(1 / 16)], [(2, 4)])
    assert scores == {
        "byte_probability": pytest.approx(0.5), "perplexity_per_byte": pytest.approx(2.0),
        "perplexity_per_token": pytest.approx(4.0),
    }  # fmt: skip
    joint = metrics.language_modelling([math.log(1 / 16), math.log(1 / 4)], [(2, 4), (1, 4)])
    assert joint["byte_probability"] == pytest.approx(2 ** (-6 / 8)), "over all bytes, not a mean over texts"
    assert metrics.language_modelling([-1e6], [(1, 1)])["perplexity_per_token"] == math.inf
