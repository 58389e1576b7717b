"""Metrics against values worked out by hand from the official scorers' definitions."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from tasks import metrics
from tests.conftest import ROOT


def test_who_reads_tasks_waits_for_no_library_that_scores():
    """Half a second of each command that reads a suite."""
    script = (
        "import sys\nfrom bench.registry import Registry\nfrom pathlib import Path\n"
        "registry = Registry([], Path())\nfor name in registry.names('tasks'): registry.get('tasks', name)\n"
        "print(*sorted({'sklearn', 'scipy', 'seqeval', 'rouge_score', 'tasks.metrics'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["tasks.metrics"], done.stdout + done.stderr


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
        ("1,000", "1000"),
        # Of nothing else SQuAD's scorer would make nothing.
        ("the", "the"),
        ("A.", "a"),
        (" ?! ", "?!"),
        ("", ""),
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


def test_answers_that_are_articles_or_marks_are_answers():
    """SQuAD's own scorer has 1 for "the" against "a", and an F1 of 0 beside an exact match of 1 for "A" against "A"."""
    for answer in ("A", "the", "a.", "An", "?", "the a"):
        assert metrics.answers([answer], [[answer]]) == {"f1": 1.0, "exact_match": 1.0}
        assert metrics.answers([answer], [["B"]]) == {"f1": 0.0, "exact_match": 0.0}
        assert metrics.answers([answer], [[]]) == {"f1": 0.0, "exact_match": 0.0}
    assert metrics.answers(["A", "the", "!"], [["the"], ["an"], ["?"]]) == {"f1": 0.0, "exact_match": 0.0}
    assert metrics.answers(["a", "a cat"], [["A"], ["The cat!"]]) == {"f1": 1.0, "exact_match": 1.0}


def test_a_question_without_an_answer_is_answered_by_saying_nothing():
    """As in SQuAD 2.0: 1 where both are empty, 0 where one of them is."""
    assert metrics.answers(["", "x", ""], [[], [], ["x"]]) == {
        "f1": pytest.approx(1 / 3), "exact_match": pytest.approx(1 / 3)
    }  # fmt: skip


def test_tags_without_a_schemes_letter_are_runs():
    """`ORG` begins with the letter of no entity, `Song` with that of a single word, for a reader of letters alone."""
    labels = ("O", "ORG", "Song", "date")
    perfect = [[1, 1, 0, 2, 2], [3, 0, 3]]
    assert metrics.entities(perfect, perfect, labels)["f1_entity"] == 1.0
    # Two of the four entities are found whole: one is cut short, one has another type.
    assert metrics.entities([[1, 0, 0, 3, 3], [3, 0, 3]], perfect, labels) == dict.fromkeys(
        ("f1_entity", "precision_entity", "recall_entity"), 0.5
    )
    assert metrics.entities([[0, 0, 0, 0, 0], [0, 0, 0]], perfect, labels)["f1_entity"] == 0.0


def test_bilou_is_read_as_bioes():
    """L- ends an entity, U- is one: two of a type side by side are two."""
    labels = ("B-X", "L-X", "U-X", "O")
    assert metrics.entities([[0, 1, 2, 3]], [[0, 1, 2, 3]], labels)["f1_entity"] == 1.0
    assert metrics.entities([[0, 1, 3, 3]], [[0, 1, 2, 3]], labels)["recall_entity"] == 0.5


def test_rouge_of_other_scripts_than_latin():
    """Of five letters all are in the six of the reference: F1 10/11; in words, two of two."""
    assert metrics.rouge(["北京是首都"], [["北京是首都吗"]])["rouge_1"] == pytest.approx(10 / 11)
    assert metrics.rouge(["Привет, мир"], [["привет мир"]])["rouge_2"] == 1.0
    assert metrics.rouge(["हिन्दी भाषा"], [["हिन्दी में"]])["rouge_1"] == pytest.approx(1 / 2)
    assert metrics.rouge(["да"], [["нет"]])["rouge_1"] == 0.0


@pytest.mark.parametrize("text", ["naïve café, it's 3.5 £ — running", "The α-helix of β and γ runs", "", "…"])
def test_rouge_of_latin_text_is_that_of_the_package(text: str):
    from rouge_score.rouge_scorer import RougeScorer

    right = "A naïve dog runs; the helix of 3 cafés"
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(right, text)
    ours = metrics.rouge([text], [[right]])
    assert list(ours.values()) == [theirs[kind].fmeasure for kind in ("rougeL", "rouge1", "rouge2")]


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
        ("1,5", 1.5),
        ("2,50 euro", 2.5),
        ("0,125", 0.125),
        ("#### 1,234,567.5", 1234567.5),
        ("1.", 1.0),
        ("#### -$5", -5.0),
        ("it is \u22127", -7.0),
        ("15-3", 3.0),
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
