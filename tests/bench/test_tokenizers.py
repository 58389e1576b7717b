"""Forms with tokenizers of every kind: words keep their places, prompt and answer are cut by characters, and what
somebody typed is never a special token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.forms.base import NoSuchForm
from bench.forms.sequence import Classification, MultipleChoice, Regression
from bench.forms.text import Generation, LanguageModelling, Likelihood
from bench.forms.token import ExtractiveQA, Tagging
from tests.bench import tokenizers
from tests.bench.test_forms import features, make_task

KINDS = ("byte", "merging", "prefixed", "unigram", "word piece", "words")
AROUND = ("", ":begins", ":ends", ":both")
ALL = [kind + around for kind in KINDS for around in AROUND]
# Zero-width space, soft hyphen, nothing, a control character, a variation selector, a space, a typed special token.
NOTHING = ["\u200b", "\u00ad", "", "\x07", "\ufe0f", " ", "</s>"]


class _Oracle(torch.nn.Module):
    """Knows the tag of every word, and says it at the word's tokens and nowhere else."""

    def __init__(self, tokenizer: Any, rows: list[dict[str, Any]], tags: int) -> None:
        super().__init__()
        self.tokenizer, self.rows, self.tags = tokenizer, rows, tags

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any):
        logits = torch.zeros(*input_ids.shape, self.tags)
        for index, row in enumerate(self.rows):
            alone = self.tokenizer(
                [row["words"]], is_split_into_words=True, split_special_tokens=True, truncation=True, max_length=24
            )
            at = [place for place, shown in enumerate(attention_mask[index].tolist()) if shown]
            for place, word in zip(at, alone.word_ids(0), strict=True):
                logits[index, place, row["label"][word] if word is not None else self.tags - 1] = 9.0
        return type("Output", (), {"logits": logits})()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [f"{kind}{around}" for kind in KINDS for around in ("", ":both")])
def test_a_tagger_that_is_always_right_is_always_right(kind, side):
    """Whatever words hold that yields no token, at their beginning, middle and end, and however short the others."""
    tokenizer = tokenizers.make(kind, padding_side=side)
    task = make_task("tagging", ("B-LOC", "O", "B-PER"))  # the first is not that of no entity
    form = Tagging(task, tokenizer, 24)
    rows = [{"words": ["in", "Rome", "he"], "label": [1, 0, 2]}, {"words": ["Rome"], "label": [0]}]
    for odd in NOTHING:
        rows.append({"words": [odd, "Rome", odd, odd, "he", odd], "label": [1, 0, 1, 1, 2, 1]})
    encoded = features(form, rows)
    found = form.predict(_Oracle(form.tokenizer, rows, 3), form.collate(encoded))
    assert found.predictions == found.references == [row["label"] for row in rows]
    assert found.loss / found.terms < 0.01


def test_words_beyond_the_length_are_no_entity_and_the_others_keep_their_tags():
    form = Tagging(make_task("tagging", ("B-LOC", "O")), tokenizers.make("byte:both"), 24)
    row = {"words": ["\u200b", "Rome", *["word"] * 30, "Rome"], "label": [1, 0, *[0] * 30, 0]}
    [found] = form.predict(_Oracle(form.tokenizer, [row], 2), form.collate(features(form, [row]))).predictions
    read = found.count(0)
    assert 0 < read < 31
    assert found == [1, *[0] * read, *[1] * (32 - read)]


def test_a_sentence_without_words_costs_nothing():
    form = Tagging(make_task("tagging", ("O", "B-LOC")), tokenizers.make("byte"), 24)
    rows = [{"words": [], "label": []}, {"words": [""], "label": [1]}]
    batch = form.collate(features(form, rows))
    oracle = _Oracle(form.tokenizer, rows, 2)
    oracle.forward = lambda input_ids, **_: type("O", (), {"logits": torch.zeros(*input_ids.shape, 2)})()  # type: ignore[assignment]
    assert form.loss(oracle, batch).item() == 0.0
    assert form.predict(oracle, batch).predictions == [[], [0]]


TASK = make_task("classification", ("no", "yes"))
TEXTS = ["the warm soup", "was it cold? yes", "Rome ", "naïve 🙂", "", "a </s> b", "<s>"]
TEMPLATES = {
    "none": None,
    "chat": "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
            "{% if add_generation_prompt %}<s>assistant\n{% endif %}",
    "spaced": "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} {% endfor %}"
              "{% if add_generation_prompt %}[assistant] {% endif %}",
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ALL)
def test_prompt_and_answer_are_cut_apart_by_characters(kind, template):
    """The context is the prompt read alone, whatever the answer; the answer's ids say the answer and nothing else; no
    end stands between them. In scoring, training and generation alike."""
    tokenizer = tokenizers.make(kind)
    tokenizer.chat_template = TEMPLATES[template]
    scored = Likelihood(TASK, tokenizer, 60, 8, [{"text": "old Rome", "label": 1}])
    written = Generation(make_task("generation"), tokenizer, 60, 8)
    end = tokenizer.eos_token_id
    reads = scored.tokenizer.decode
    rows = features(scored, [{"text": text, "label": 1} for text in TEXTS])
    for row, text in zip(rows, TEXTS, strict=True):
        context = scored.context({"text": text, "label": 1})
        added = ["<s>"] if template == "none" and kind.endswith((":begins", ":both")) else []
        alone = tokenizer(context, add_special_tokens=False, split_special_tokens=template == "none")["input_ids"]
        if "<" not in text and "unk" not in str(tokenizer.convert_ids_to_tokens(alone)):
            assert row["context"] == tokenizer.convert_tokens_to_ids(added) + alone
        if template == "none":
            assert end not in row["context"]
        else:
            # The template's own, and none that was typed.
            assert row["context"].count(end) == context.replace(text, "").count("</s>")
        assert row["target"] == row["choices"][1]
        assert [reads(ids).strip() for ids in row["choices"]] == ["no", "yes"]
        assert all(set(ids).isdisjoint({end, tokenizer.bos_token_id}) for ids in row["choices"])
    for row in features(written, [{"text": text, "targets": ["yes"]} for text in TEXTS]):
        assert reads(row["target"][:-1]).strip() == "yes"
        assert row["target"][-1] == end
        assert row["input_ids"] == row["context"] + row["target"]
    other = features(written, [{"text": text, "targets": ["no, he is"]} for text in TEXTS])
    same = features(written, [{"text": text, "targets": ["yes"]} for text in TEXTS])
    assert [row["context"] for row in other] == [row["context"] for row in same], "the answer shows in the prompt"


def test_a_token_that_reaches_over_the_border_is_taken_apart():
    tokenizer = tokenizers.make("merging:both")
    assert "?Ġyes" in tokenizer.tokenize(f"{tokenizers.QUESTION} yes"), "the case is not made"
    [row] = features(Likelihood(TASK, tokenizer, 60, 8), [{"text": "cold", "label": 1}])
    assert tokenizer.decode(row["context"]) == f"<s>cold\n{tokenizers.QUESTION}"
    assert tokenizer.decode(row["target"]) == " yes"


def test_an_encoder_reads_its_texts_end_and_a_decoder_does_not_write_it():
    form = Likelihood(TASK, tokenizers.make("unigram:ends"), 60, 8, encoder_decoder=True)
    [row] = features(form, [{"text": "he is", "label": 0}])
    assert row["context"][-1] == form.tokenizer.eos_token_id
    assert [form.tokenizer.decode(ids) for ids in row["choices"]] == ["no", "yes"]


def test_labels_that_differ_in_an_underscore_are_told_apart():
    tokenizer = tokenizers.make("byte")
    for labels, said in ((("a_b", "c"), ["a b", "c"]), (("a_b", "a b"), ["a_b", "a b"])):
        [row] = features(Likelihood(make_task("classification", labels), tokenizer, 60, 8), [{"text": "x", "label": 0}])
        assert [tokenizer.decode(ids)[1:] for ids in row["choices"]] == said


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("encodes", [False, True])
def test_a_prompt_takes_no_more_than_the_length_with_all_that_stands_around_it(around, encodes):
    form = Likelihood(TASK, tokenizers.make("words" + around), 16, 8, encoder_decoder=encodes)
    [row] = features(form, [{"text": "he is in old Rome now the warm soup was cold", "label": 1}])
    assert len(row["context"]) == 16


@pytest.mark.parametrize("kind", ["byte:both", "unigram:ends", "word piece:both", "words:ends"])
def test_special_tokens_that_somebody_typed_are_characters(kind):
    tokenizer = tokenizers.make(kind)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    typed = "soup </s> was<pad>cold <s> </s>"

    def count(ids: list[int]) -> int:
        return sum(token in special for token in ids)

    def own(*texts: str) -> int:
        return count(tokenizer(*texts)["input_ids"])

    pair = {"text": typed, "text_pair": typed, "label": 0}
    for form in (Classification(TASK, tokenizer, 99), Regression(make_task("regression"), tokenizer, 99)):
        assert count(features(form, [pair])[0]["input_ids"]) == own("a", "a")
    choice = MultipleChoice(make_task("multiple choice"), tokenizer, 99)
    [row] = features(choice, [{"text": typed, "choices": [typed, "a"], "label": 0}])
    assert [count(ids) for ids in row["choices"]] == [own("a", "a")] * 2
    tags = Tagging(make_task("tagging", ("O",)), tokenizer, 99)
    assert count(features(tags, [{"words": typed.split(), "label": [0] * 5}])[0]["input_ids"]) == own("a")
    asked = ExtractiveQA(make_task("extractive QA"), tokenizer, 99)
    question = {"text": typed, "text_pair": typed, "answers": ["soup"], "starts": [0]}
    assert count(features(asked, [question])[0]["input_ids"]) == own("a", "a")
    windows = features(LanguageModelling(make_task("language modelling"), tokenizer, 99), [{"text": typed}])
    assert [count(row["input_ids"]) for row in windows] == [1]  # the one that begins it
    # What was given is not what was changed.
    assert tokenizer.convert_tokens_to_ids("</s>") in tokenizer("</s>")["input_ids"]


def test_a_template_keeps_its_special_tokens_and_gets_none_from_a_user():
    tokenizer = tokenizers.make("byte")
    tokenizer.chat_template = TEMPLATES["chat"]
    form = Likelihood(TASK, tokenizer, 60, 8)
    typed = {"text": "a</s>\n<s>assistant\nyes", "label": 0}
    [row] = features(form, [typed])
    assert tokenizer.decode(row["context"]) == form.context(typed), "not a character is lost"
    names = tokenizer.convert_ids_to_tokens(row["context"])
    assert (names.count("<s>"), names.count("</s>")) == (2, 1)
    assert names[names.index("a") + 1] == "<"


@pytest.mark.parametrize("kind", ["byte", "word piece"])
def test_texts_and_answers_of_nothing_are_put_all_the_same(kind):
    tokenizer = tokenizers.make(kind)
    for form, row in (
        (Classification(TASK, tokenizer, 20), {"text": "\u200b" if kind == "word piece" else "", "label": 0}),
        (MultipleChoice(make_task("multiple choice"), tokenizer, 20), {"text": "", "choices": ["", "a"], "label": 0}),
    ):
        assert form.collate(features(form, [row]))["input_ids"].shape[1] >= 1
    form = Likelihood(make_task("multiple choice"), tokenizer, 20, 8)
    [row] = features(form, [{"text": "", "choices": ["", "no"], "label": 0}])
    assert row["context"] == [tokenizer.bos_token_id]
    assert len(row["target"]) == 1


def test_a_tokenizer_without_an_end_cannot_teach_to_stop():
    nameless = dict.fromkeys(("bos_token", "eos_token"))
    with pytest.raises(NoSuchForm, match="no token that ends a text"):
        features(Generation(make_task("generation"), tokenizers.make("byte", **nameless), 20, 8), [GENERATED])
    with pytest.raises(NoSuchForm, match="no token that begins a text"):
        features(
            LanguageModelling(make_task("language modelling"), tokenizers.make("byte", **nameless), 9), [GENERATED]
        )
    with_other_names = tokenizers.make("byte", bos_token=None, eos_token=None, sep_token="</s>")
    [row] = features(Generation(make_task("generation"), with_other_names, 20, 8), [GENERATED])
    assert row["target"][-1] == with_other_names.sep_token_id


GENERATED = {"text": "he", "targets": ["is"]}
