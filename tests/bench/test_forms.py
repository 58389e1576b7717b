"""How tasks are put to models: held against one example at a time, unpadded, and against transformers' own heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForTokenClassification,
    BertConfig,
    BertForMultipleChoice,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from bench.forms.base import Form
from bench.forms.mixture import Mixture
from bench.forms.sequence import Classification, MultipleChoice, Regression
from bench.forms.text import Generation, LanguageModelling, Likelihood
from bench.forms.token import ExtractiveQA, Tagging
from tasks.base import Card, Task
from tests.methods.tiny import CONFIGS, DECODERS, perturb

SIZE = 270
ROOM = {"gpt2": {"n_positions": 128}, **{name: {"max_position_embeddings": 128} for name in ("opt", "bart")}}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token for every byte, and a few special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<pad>", "<s>", "</s>"]
    vocab = {token: index for index, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def make_task(kind: str, labels: tuple[str, ...] = (), name: str = "made") -> Task:
    class Made(Task):
        card = Card(name, name, kind, ("score",), "", "", "", "", "", labels)  # type: ignore[arg-type]

        def load(self):
            raise NotImplementedError

        def score(self, predictions, references):
            return {"score": sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references)}

    return Made()


def language_model(architecture: str, **options: Any):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture, **CONFIGS[architecture] | {"vocab_size": SIZE} | ROOM.get(architecture, {}) | options
    )
    cls = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = cls.from_config(config).eval()
    perturb(model.named_parameters(), 0.1)
    return model


def features(form: Form, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = form.encode({name: [row[name] for row in rows] for name in rows[0]})
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def log_likelihood(model, context: list[int], answer: list[int]) -> float:
    """Of one answer, alone and unpadded."""
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            decoder = torch.tensor([[model.config.decoder_start_token_id, *answer[:-1]]])
            logits = model(input_ids=torch.tensor([context]), decoder_input_ids=decoder).logits[0]
        else:
            logits = model(input_ids=torch.tensor([context + answer])).logits[0, len(context) - 1 : -1]
    return F.log_softmax(logits.float(), -1)[range(len(answer)), answer].sum().item()


ROWS = [
    {"text": "good", "label": 1},
    {"text": "a rather long and bad thing", "label": 0},
    {"text": "so-so", "label": 2},
]


@pytest.mark.parametrize("architecture", [*DECODERS, "t5", "bart"])
def test_likelihoods_in_a_batch_are_those_of_each_answer_alone(architecture, tokenizer):
    model = language_model(architecture)
    form = Likelihood(
        make_task("classification", ("bad", "very good", "so_so")),
        tokenizer,
        60,
        8,
        (),
        model.config.is_encoder_decoder,
    )
    rows = features(form, ROWS)
    expected = [[log_likelihood(model, row["context"], answer) for answer in row["choices"]] for row in rows]
    with torch.no_grad():
        found = form.predict(model, form.collate(rows))
    names = [len(name) for name in ("bad", "very good", "so so")]
    best = [max(range(3), key=lambda i, line=line: line[i] / names[i]) for line in expected]
    assert found.predictions == best
    assert found.references == [1, 0, 2]
    right = [line[row["label"]] for line, row in zip(expected, rows, strict=True)]
    assert found.loss == pytest.approx(-sum(right), rel=1e-4)
    # What is trained on is the mean over the right answers' tokens.
    assert found.terms == sum(len(row["target"]) for row in rows)
    assert form.loss(model, form.collate(rows)).item() == pytest.approx(found.loss / found.terms, rel=1e-4)


def test_a_prompt_is_cut_to_the_length_and_keeps_its_question(tokenizer):
    form = Likelihood(make_task("classification", ("no", "yes")), tokenizer, 60, 8)
    [row] = features(form, [{"text": "x" * 500, "label": 1}])
    text = tokenizer.decode(row["context"])
    assert len(row["context"]) == 60
    assert text.startswith("x")
    assert text.endswith("Which of these fits: no, yes?")
    assert tokenizer.decode(row["target"]) == " yes"


def test_demonstrations_stand_before_the_question_with_their_answers(tokenizer):
    shown = [{"text": "up", "label": 1}, {"text": "down", "label": 0}]
    form = Likelihood(make_task("classification", ("no", "yes")), tokenizer, 60, 8, shown)
    [row] = features(form, [{"text": "left", "label": 0}])
    question = "\nWhich of these fits: no, yes?"
    assert tokenizer.decode(row["context"]) == f"up{question} yes\n\ndown{question} no\n\nleft{question}"


def test_a_chat_template_is_used_where_there_is_one(tokenizer):
    import copy

    talking = copy.deepcopy(tokenizer)
    turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    talking.chat_template = turns + "{% if add_generation_prompt %}<assistant>{% endif %}"
    form = Likelihood(make_task("classification", ("no", "yes")), talking, 60, 8, [{"text": "up", "label": 1}])
    [row] = features(form, [{"text": "left", "label": 0}])
    question = "\nWhich of these fits: no, yes?"
    assert talking.decode(row["context"]) == f"<user>up{question}<assistant>yes<user>left{question}<assistant>"
    assert talking.decode(row["target"]) == "no"


@pytest.mark.parametrize("architecture", [*DECODERS, "t5", "bart"])
def test_generation_takes_the_likeliest_token_each_time(architecture, tokenizer):
    model = language_model(architecture)
    form = Generation(make_task("generation"), tokenizer, 30, 6, (), model.config.is_encoder_decoder)
    rows = features(form, [{"text": text, "targets": ["ab"]} for text in ("one", "another, longer", "z")])
    with torch.no_grad():
        found = form.generate(model, [row["context"] for row in rows])
    for row, ids in zip(rows, found, strict=True):
        expected: list[int] = []
        for _ in range(6):
            with torch.no_grad():
                if model.config.is_encoder_decoder:
                    decoder = torch.tensor([[model.config.decoder_start_token_id, *expected]])
                    logits = model(input_ids=torch.tensor([row["context"]]), decoder_input_ids=decoder).logits
                else:
                    logits = model(input_ids=torch.tensor([row["context"] + expected])).logits
            expected.append(int(logits[0, -1].argmax()))
            if expected[-1] == tokenizer.eos_token_id:
                break
        assert ids[: len(expected)] == expected
        assert set(ids[len(expected) :]) <= {tokenizer.pad_token_id}


def test_a_generated_text_ends_in_training_as_it_should_in_use(tokenizer):
    form = Generation(make_task("generation"), tokenizer, 30, 4)
    short, long = features(form, [{"text": "q", "targets": ["a"]}, {"text": "q", "targets": ["abcdefgh"]}])
    assert tokenizer.decode(short["target"]) == " a</s>"
    assert tokenizer.decode(long["target"]) == " ab</s>"


def test_language_modelling_counts_every_byte_once_and_every_token_but_the_first(tokenizer):
    model = language_model("llama")
    form = LanguageModelling(make_task("language modelling"), tokenizer, 10)
    texts = ["naïve façade " * 3, "short", "€uro and more than one window"]
    rows = features(form, [{"text": text} for text in texts])
    assert sum(row["bytes"] for row in rows) == sum(len(text.encode()) for text in texts)
    with torch.no_grad():
        found = form.predict(model, form.collate(rows))
    expected = [log_likelihood(model, row["input_ids"][:1], row["input_ids"][1:]) for row in rows]
    assert found.predictions == pytest.approx(expected, rel=1e-4)
    # One token for every byte here.
    assert found.terms == sum(len(text.encode()) for text in texts)


def encoder(cls, **options: Any):
    torch.manual_seed(0)
    model = cls(BertConfig(**CONFIGS["bert"] | {"vocab_size": SIZE} | options)).eval()
    perturb(model.named_parameters(), 0.1)
    return model


def test_multiple_choice_is_that_of_berts_own_head(tokenizer):
    own = encoder(BertForMultipleChoice)
    ours = encoder(BertForSequenceClassification, num_labels=1)
    ours.load_state_dict(own.state_dict())
    form = MultipleChoice(make_task("multiple choice"), tokenizer, 40)
    raw = [
        {"text": "what", "choices": ["this", "that thing"], "label": 1},
        {"text": "who", "choices": ["me", "you"], "label": 0},
    ]
    batch = form.collate(features(form, raw))
    shape = (2, 2, -1)
    with torch.no_grad():
        expected = own(
            input_ids=batch["input_ids"].view(shape), attention_mask=batch["attention_mask"].view(shape),
            labels=batch["labels"],
        )  # fmt: skip
        found = form.predict(ours, dict(batch))
    assert found.predictions == expected.logits.argmax(-1).tolist()
    assert found.loss / 2 == pytest.approx(expected.loss.item(), rel=1e-5)
    assert form.loss(ours, dict(batch)).item() == pytest.approx(expected.loss.item(), rel=1e-5)


def test_rows_may_have_different_numbers_of_choices(tokenizer):
    model = encoder(BertForSequenceClassification, num_labels=1)
    form = MultipleChoice(make_task("multiple choice"), tokenizer, 40)
    raw = [
        {"text": "what", "choices": ["a", "b", "c"], "label": 2},
        {"text": "who", "choices": ["d", "e"], "label": 0},
    ]
    rows = features(form, raw)
    with torch.no_grad():
        together = form.predict(model, form.collate(rows))
        alone = [form.predict(model, form.collate([row])) for row in rows]
    assert together.predictions == [found.predictions[0] for found in alone]
    assert together.loss == pytest.approx(sum(found.loss for found in alone), rel=1e-5)


def test_regression_is_trained_on_the_squared_error(tokenizer):
    model = encoder(BertForSequenceClassification, num_labels=1)
    form = Regression(make_task("regression"), tokenizer, 40)
    batch = form.collate(features(form, [{"text": "a", "label": 1.5}, {"text": "bcd", "label": -2.0}]))
    with torch.no_grad():
        found = form.predict(model, dict(batch))
        loss = form.loss(model, dict(batch)).item()
    errors = [(p - r) ** 2 for p, r in zip(found.predictions, (1.5, -2.0), strict=True)]
    assert loss == pytest.approx(sum(errors) / 2, rel=1e-5)


def test_a_tag_belongs_to_its_words_first_token(tokenizer):
    form = Tagging(make_task("tagging", ("O", "B-LOC")), tokenizer, 12)
    raw = [
        {"words": ["in", "Rome", "now"], "label": [0, 1, 0]},
        {"words": ["a", "far-too-long-word", "b"], "label": [0, 1, 0]},
    ]
    rows = features(form, raw)
    for row, source in zip(rows, raw, strict=True):
        tags = form.collate([row])["labels"][0].tolist()
        marked = [(token, tag) for token, tag in zip(row["input_ids"], tags, strict=False) if tag != -100]
        starts = [tokenizer.decode([token]).strip() or " " for token, _ in marked]
        expected = [word for word in source["words"] if word][: len(marked)]
        assert [tag for _, tag in marked] == source["label"][: len(marked)]
        assert all(start in (word[0], " ") for start, word in zip(starts, expected, strict=True))
    # The third word of the second row lies beyond twelve tokens; its tag is taken to be that of no entity.
    torch.manual_seed(0)
    config = BertConfig(**CONFIGS["bert"] | {"vocab_size": SIZE, "num_labels": 2})
    model = AutoModelForTokenClassification.from_config(config).eval()
    with torch.no_grad():
        found = form.predict(model, form.collate(rows))
    assert [len(tags) for tags in found.predictions] == [3, 3]
    assert found.predictions[1][2] == 0
    assert found.references == [[0, 1, 0], [0, 1, 0]]


class _Pointing(torch.nn.Module):
    """A model that is certain of where answers begin and end."""

    def __init__(self, spans: list[list[int]]) -> None:
        super().__init__()
        self.spans = spans

    def forward(self, input_ids, **_: Any):
        logits = torch.zeros(*input_ids.shape, 2)
        for row, (first, last) in enumerate(self.spans):
            logits[row, first, 0] = logits[row, last, 1] = 20.0
        return type("Output", (), {"logits": logits})()


def bert_words(words: list[str]):
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return BertTokenizer(vocab={word: index for index, word in enumerate([*special, *words])})


def test_an_extracted_answer_is_the_passages_own_text():
    tokenizer = bert_words(["where", "is", "he", "in", "old", "rome", "now", ",", "dear"])
    form = ExtractiveQA(make_task("extractive QA"), tokenizer, 14)
    passage = "He  is in  Old Rome, now"
    raw = [
        {"text": "Where is he", "text_pair": passage, "answers": ["Old Rome"], "starts": [passage.index("Old")]},
        {
            "text": "Where",
            "text_pair": passage + " dear" * 9 + " Rome",
            "answers": ["Rome"],
            "starts": [len(passage) + 46],
        },
    ]
    rows = features(form, raw)
    spans = [row["span"] for row in rows]
    assert spans[1] == [-100, -100]  # cut off
    found = form.predict(_Pointing([spans[0], [3, 3]]), form.collate(rows))
    assert found.predictions == ["Old Rome", "He"]
    assert found.references == [["Old Rome"], ["Rome"]]
    # Certain of the one answer that can be found, the loss is that of certainty.
    assert found.loss == pytest.approx(0, abs=1e-4)
    # An answer is never sought in the question.
    assert form.predict(_Pointing([[1, 2], [1, 1]]), form.collate(rows)).predictions != ["Where is", "Where"]


class _Mixed(Task):
    card = Card("mixed", "mixed", "mixture", ("average",), "", "", "", "", "")

    def load(self):
        raise NotImplementedError

    def score(self, predictions, references):
        return {"average": sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references)}


def test_in_a_mixture_every_task_has_its_own_outputs(tokenizer):
    members = [
        Classification(make_task("classification", ("no", "yes"), "first"), tokenizer, 20),
        Classification(make_task("classification", ("a", "b", "c"), "second"), tokenizer, 20),
    ]
    form = Mixture(_Mixed(), tokenizer, 20, members)
    assert (form.head.kind, form.head.outputs) == ("sequence", 5)
    model = encoder(BertForSequenceClassification, num_labels=5)
    raw = [
        {"text": "left", "label": 1, "task": 0},
        {"text": "or right", "label": 2, "task": 1},
        {"text": "up", "label": 0, "task": 1},
    ]
    rows = features(form, raw)
    with torch.no_grad():
        found = form.predict(model, form.collate(rows))
        loss = form.loss(model, form.collate(rows)).item()
        expected, predictions = 0.0, []
        for row in rows:
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
            own = logits[:2] if row["task"] == 0 else logits[2:]
            expected -= F.log_softmax(own, -1)[row["label"]].item()
            predictions.append((row["task"], int(own.argmax())))
    assert loss == pytest.approx(expected / 3, rel=1e-4)
    assert found.loss == pytest.approx(expected, rel=1e-4)
    assert found.predictions == predictions
    assert found.references == [(0, 1), (1, 2), (1, 0)]


def test_a_mixture_tells_the_task_to_a_model_that_asks(tokenizer):
    members = [Classification(make_task("classification", ("no", "yes"), name), tokenizer, 20) for name in ("a", "b")]
    form = Mixture(_Mixed(), tokenizer, 20, members)
    asked = []

    class Asking(torch.nn.Module):
        takes_task_ids = True

        def forward(self, input_ids, task_ids, **_: Any):
            asked.append(task_ids.tolist())
            return type("Output", (), {"logits": torch.zeros(len(input_ids), 4)})()

    rows = features(form, [{"text": t, "label": 0, "task": task} for t, task in (("x", 0), ("y", 1), ("z", 1))])
    form.loss(Asking(), form.collate(rows))
    assert asked == [[0], [1, 1]]
