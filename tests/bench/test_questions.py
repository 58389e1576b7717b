"""Questions to a passage: those that leave it no room, and those without an answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset

from bench.forms.token import ExtractiveQA, unasked
from tasks import metrics
from tests.bench import tokenizers
from tests.bench.test_forms import _Pointing, bert_words, features, make_task

PASSAGE = "he is in old rome now"
LONG = "where is " * 20


def form_of(length: int = 16) -> ExtractiveQA:
    tokenizer = bert_words(["where", "is", "he", "in", "old", "rome", "now", "so"])
    return ExtractiveQA(make_task("extractive QA"), tokenizer, length)


def row(question: str = "where is he", answer: str | None = "old rome") -> dict[str, Any]:
    found = (
        {"answers": [], "starts": []} if answer is None else {"answers": [answer], "starts": [PASSAGE.index(answer)]}
    )
    return {"text": question, "text_pair": PASSAGE, **found}


@pytest.mark.parametrize("words", [12, 13, 40])
def test_a_question_that_leaves_no_room_is_unanswered_and_counted(words):
    """Sixteen tokens, three of them special: of thirteen the question must leave one."""
    form = form_of()
    question = " ".join(["where"] * words)
    raw = [row(), row(question), row(question, None)]
    rows = features(form, raw)
    fits = words < 13
    assert [each["asked"] for each in rows] == [True, fits, fits]
    assert unasked(Dataset.from_list(rows)) == (0 if fits else 2)
    if fits:
        return
    assert rows[1]["span"] == rows[2]["span"] == [-100, -100], "it is not trained on"
    assert all(len(each["input_ids"]) <= 16 for each in rows)
    # The others are what they are without it.
    assert {**rows[0]} == features(form, raw[:1])[0]
    found = form.predict(_Pointing([[5, 6], [5, 6], [5, 6]]), form.collate(rows))
    assert found.predictions[1:] == ["", ""]
    # Wrong where there is an answer, right where there is none.
    assert metrics.answers(found.predictions, found.references)["exact_match"] == pytest.approx(
        ((found.predictions[0] == "old rome") + 0 + 1) / 3
    )


def test_a_loss_of_questions_that_were_not_asked_is_nothing():
    form = form_of()
    batch = form.collate(features(form, [row(LONG), row(LONG, None)]))
    assert form.loss(_Pointing([[1, 2], [1, 2]]), batch).item() == 0.0
    assert form.predict(_Pointing([[1, 2], [1, 2]]), batch).terms == 1


def test_a_question_without_an_answer_points_at_cls():
    form = form_of()
    [answered, none] = features(form, [row(), row(answer=None)])
    assert none["span"] == [0, 0]
    batch = form.collate([answered, none])
    sure = _Pointing([answered["span"], [0, 0]])
    assert form.loss(sure, batch).item() == pytest.approx(0, abs=1e-4)
    # One that was trained on no such question always answers, as SQuAD's first edition has it.
    assert "" not in form.trained_on(Dataset.from_list([answered])).predict(sure, batch).predictions
    found = form.trained_on(Dataset.from_list([answered, none])).predict(sure, batch)
    assert found.predictions == ["old rome", ""]
    assert metrics.answers(found.predictions, found.references) == {"f1": 1.0, "exact_match": 1.0}


def test_no_answer_is_said_only_where_it_scores_higher():
    """The null span's two logits against the best span's."""
    form = form_of()
    rows = features(form, [row(), row(answer=None)])
    batch = form.collate(rows)
    form = form.trained_on(Dataset.from_list(rows))
    first, last = rows[0]["span"]

    class Torn(torch.nn.Module):
        def forward(self, input_ids, **_: Any):
            logits = torch.zeros(*input_ids.shape, 2)
            logits[:, first, 0] = logits[:, last, 1] = 5.0  # 10 together
            logits[0, 0] = torch.tensor([4.0, 5.9])
            logits[1, 0] = torch.tensor([4.0, 6.1])
            return type("Output", (), {"logits": logits})()

    assert form.predict(Torn(), batch).predictions == ["old rome", ""]


def test_without_cls_the_last_token_stands_for_no_answer():
    """A decoder's first token has read nothing of the question."""
    form = ExtractiveQA(make_task("extractive QA"), tokenizers.make("byte"), 60)
    [none] = features(form, [row(answer=None)])
    assert none["span"] == [len(none["input_ids"]) - 1] * 2


def test_a_passage_of_nothing_is_answered_by_nothing():
    form = form_of()
    rows = features(form, [row() | {"text_pair": "", "answers": ["x"], "starts": [0]}])
    assert rows[0]["span"] == [-100, -100]
    assert form.predict(_Pointing([[1, 1]]), form.collate(rows)).predictions == [""]
