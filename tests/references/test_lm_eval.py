"""Answers by likelihood, one by one, against EleutherAI's lm-evaluation-harness on the same model and prompts."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("lm_eval")
from datasets import Dataset
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from tokenizers import processors

from bench.export.cells import export
from bench.forms.text import Likelihood
from bench.registry import Registry
from records.record import Record
from records.store import RecordStore
from tests.bench import test_export, tokenizers
from tests.bench.test_forms import features, language_model, make_task, tokenizer  # noqa: F401 - a fixture
from tests.hub import build

ROWS = [
    {"text": "a film of quiet beauty", "label": 1},
    {"text": "two hours that felt like nine, and not in a good way; " * 4, "label": 0},
    {"text": "so-so", "label": 2},
    {"text": "naïve but charming", "label": 1},
]
# Two differ in their last token alone, and are scored in one pass.
ANSWERS = ("bad", "very good", "so_so", "bag")


def harness(model, form: Likelihood, rows: list[dict], begin: str = "") -> list[list[float]]:
    """Log-likelihoods (rows, answers) by the harness, which is given the texts and tokenizes them itself. Of one that
    begins with the token for that it leaves out what the tokenizer would put around it."""
    lm = HFLM(pretrained=model, tokenizer=form.tokenizer, batch_size=2, max_length=256)
    asked = [
        Instance("loglikelihood", row, (begin + form.context(row), form.continuation(answer)), index)
        for index, row in enumerate(rows)
        for answer in form.answers(row)
    ]
    flat = [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)]
    count = len(form.answers(rows[0]))
    return [flat[i : i + count] for i in range(0, len(flat), count)]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("chat", [False, True])
def test_every_likelihood_and_every_answer_agree(architecture, chat, tokenizer):  # noqa: F811
    model = language_model(architecture, **({"n_positions": 256} if architecture == "gpt2" else {}))
    tokenizer = copy.deepcopy(tokenizer)
    if chat:
        turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        tokenizer.chat_template = turns + "{% if add_generation_prompt %}<assistant>{% endif %}"
    form = Likelihood(make_task("classification", ANSWERS), tokenizer, 100, 8, [{"text": "fine", "label": 1}])
    expected = harness(model, form, ROWS)
    rows = features(form, ROWS)
    with torch.no_grad():
        for row, theirs in zip(rows, expected, strict=True):
            found, _ = form.score(model, [row["context"]] * len(ANSWERS), row["choices"])
            assert found.sum(1).tolist() == pytest.approx(theirs, rel=1e-4)
        predictions = form.predict(model, form.collate(rows)).predictions
    # The harness's acc_norm divides by the length of the answer in characters.
    best = [max(range(len(ANSWERS)), key=lambda i, line=line: line[i] / len(ANSWERS[i])) for line in expected]
    assert predictions == best


@pytest.mark.parametrize("kind", ["byte", "prefixed", "unigram", "word piece"])
@pytest.mark.parametrize("around", ["", ":begins", ":ends", ":both"])
def test_they_agree_on_tokenizers_of_other_kinds(kind, around):
    """What ends texts must not be read before an answer, nor taken for its first token."""
    model = language_model("llama", vocab_size=340, max_position_embeddings=512)
    form = Likelihood(make_task("classification", ("no", "yes", "yes no")), tokenizers.make(kind + around), 100, 8)
    rows = [{"text": "the warm soup was cold", "label": 1}, {"text": "is he in old Rome", "label": 0}]
    harnessed = copy.deepcopy(form)
    if around == ":ends":  # which the harness cannot leave out by itself
        harnessed.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("$A", "$A $B", [])
    expected = harness(model, harnessed, rows, "<s>" if around == ":both" else "")
    with torch.no_grad():
        for row, theirs in zip(features(form, rows), expected, strict=True):
            found, _ = form.score(model, [row["context"]] * 3, row["choices"])
            assert found.sum(1).tolist() == pytest.approx(theirs, rel=1e-4)


def multiple_choice(task, rows: list[dict], choices: tuple[str, ...]) -> ConfigurableTask:
    """A task of the harness of its own kind, of these rows as its documents."""
    documents = Dataset.from_list([{"query": task.prompt(row), "gold": row["label"]} for row in rows])
    return ConfigurableTask(
        config={
            "task": "exported",
            "custom_dataset": lambda **_: {"test": documents},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{query}}",
            "doc_to_target": "gold",
            "doc_to_choice": list(choices),
            "metric_list": [{"metric": "acc_norm"}],
        }
    )


@pytest.mark.exhaustive
def test_exports_run_in_the_harness_as_they_are_and_give_the_recorded_answers_and_score(tmp_path):
    """A cell of a decoder that is asked in words, by the harness's own loading, prompting and scoring."""
    pytest.importorskip("peft")
    backbone = build.gpt2(tmp_path / "gpt2")
    budget = test_export.BUDGET | {"train_examples": 32, "test_examples": 24, "max_length": 200}
    lora = {"lora": {"lr": 0.02}}
    suite = test_export.suite_file(tmp_path, backbone, lora, form="text", budget=budget)
    store = test_export.train(suite, tmp_path / "results")
    [record] = store.records()
    task = Registry((test_export.PLUGINS / "colours.py",)).get("tasks", "colours").cls()
    agree(store, record, backbone, task, tmp_path)


def agree(store: RecordStore, record: Record, weights: Path, task, folder: Path, chat: bool = False) -> None:
    """The harness loads both exports of a cell, and gives each recorded example the recorded likelihoods, answer and
    score."""
    export(store, record, "merged", folder / "merged")
    export(store, record, "peft", folder / "adapter")
    recorded, texts = store.predictions(record), store.texts()
    rows = [texts[example] for example in recorded.examples]
    asked = multiple_choice(task, rows, task.verbalisers())
    lengths = [len(answer) for answer in task.verbalisers()]
    for given in (
        {"pretrained": str(folder / "merged")},
        {"pretrained": str(weights), "peft": str(folder / "adapter")},
    ):
        lm = HFLM(**given, dtype="float32", device="cpu", batch_size=8)
        found = simple_evaluate(lm, tasks=[asked], bootstrap_iters=0, log_samples=True, apply_chat_template=chat)
        assert found["results"]["exported"]["acc_norm,none"] == pytest.approx(record.test["accuracy"])
        samples = sorted(found["samples"]["exported"], key=lambda sample: sample["doc_id"])
        likelihoods = [[value for value, _ in sample["filtered_resps"]] for sample in samples]
        for theirs, ours in zip(likelihoods, recorded.likelihoods, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-3)
        best = [max(range(2), key=lambda i, line=line: line[i] / lengths[i]) for line in likelihoods]
        assert best == recorded.predictions
        right = [float(given == gold) for given, gold in zip(recorded.predictions, recorded.references, strict=True)]
        assert [sample["acc_norm"] for sample in samples] == right


@pytest.mark.slow
def test_exports_of_the_decoder_suite_give_the_recorded_score_in_the_harness(tmp_path):
    """SmolLM2 with LoRA on rotten_tomatoes, as the suite `decoder` has them, with fewer examples."""
    pytest.importorskip("peft")
    from bench.backbones import Backbone, BackboneError
    from bench.suite import BUILT_IN
    from tasks.embedded import RottenTomatoes

    try:
        backbone = Backbone.find("embedded:smollm2-135m")
    except BackboneError as error:
        pytest.skip(str(error))
    suite = yaml.safe_load((BUILT_IN / "decoder.yaml").read_text())
    budget = {"train_examples": 64, "validation_examples": 16, "test_examples": 24, "epochs": 1, "batch_size": 16}
    suite |= {"tasks": {"rotten_tomatoes": {"max_length": 64}}, "methods": {"lora": suite["methods"]["lora"]}}
    suite |= {"seeds": [0], "budget": budget, "precision": "no", "profile": False, "forgetting": None}
    path = tmp_path / "decoder.yaml"
    path.write_text(yaml.safe_dump(suite))
    store = test_export.train(path, tmp_path / "results")
    [record] = store.records()
    agree(store, record, backbone.place.weights, RottenTomatoes(), tmp_path, chat=True)


@pytest.mark.slow
def test_a_real_model_agrees_too():
    """SmolLM2, which a package carries, on sentences of rotten_tomatoes."""
    from bench.backbones import Backbone, BackboneError
    from bench.forms.base import Head
    from tasks.embedded import RottenTomatoes

    try:
        backbone = Backbone.find("embedded:smollm2-135m")
    except BackboneError as error:
        pytest.skip(str(error))
    task = RottenTomatoes()
    rows = [task.load()["test"][index] for index in range(40)]
    model, _ = backbone.load(Head("language"), 0)
    form = Likelihood(task, backbone.tokenizer(), 128, 8)
    theirs = harness(model.eval(), form, rows)
    with torch.no_grad():
        encoded = features(form, rows)
        ours = [
            form.score(model, [row["context"]] * len(row["choices"]), row["choices"])[0].sum(1).tolist()
            for row in encoded
        ]
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(yours, rel=1e-3)
