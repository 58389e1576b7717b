"""A batch that passes the model part by part trains as the whole of it does, with and without kept activations; and
where memory does not suffice, parts are halved until it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from bench import profiling
from bench.data import eval_loader, in_micro_batches
from bench.evaluation import FittingSplit, ask
from bench.forms.base import Form
from bench.forms.heads import fit
from bench.forms.mixture import Mixture
from bench.forms.sequence import Classification, MultipleChoice, Regression
from bench.forms.text import Generation, LanguageModelling, Likelihood
from bench.forms.token import ExtractiveQA, Tagging
from bench.memory import OutOfMemory, fitting
from bench.step import PhaseTrainer
from bench.suite import Suite, SuiteError
from methods.anatomy import Anatomy
from methods.baselines.full import Full
from records.cell import Budget
from tests.bench import tokenizers
from tests.bench.test_forms import features, language_model, make_task
from tests.bench.test_padding import SIZE, build, tokenizer_for
from tests.methods.tiny import CONFIGS, METHODS, head_of

LABELS = ("no", "yes", "perhaps")
# Of very different lengths, so that parts are padded otherwise than the whole.
TEXTS = ["he is", "the warm soup was cold in Rome and the old soup", "a", "old Rome now", "he is in old Rome"]
UNEVEN = [["he", "in old Rome"], ["he", "is", "old now in Rome"], ["a", "he is"], ["he", "is"], ["now", "a", "is"]]


def _encoder(form: Form, outputs: int, tokens: bool = False):
    cls = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
    model = build(cls, "bert", num_labels=outputs)
    fit(model, form)
    return form, model


def _form(cls: Any, kind: str, labels: tuple[str, ...] = (), architecture: str = "bert", *options: Any) -> Any:
    return cls(make_task(kind, labels), tokenizer_for(architecture), 64, *options)


def classification():
    return *_encoder(_form(Classification, "classification", LABELS), 3), [
        {"text": text, "label": index % 3} for index, text in enumerate(TEXTS)
    ]


def regression():
    return *_encoder(_form(Regression, "regression"), 1), [
        {"text": text, "label": float(index)} for index, text in enumerate(TEXTS)
    ]


def multiple_choice():
    return *_encoder(_form(MultipleChoice, "multiple choice"), 1), [
        {"text": text, "choices": choices, "label": 1} for text, choices in zip(TEXTS, UNEVEN, strict=True)
    ]


def tagging():
    """One of the rows has no tag at all."""
    rows = [{"words": text.split(), "label": [index % 3] * len(text.split())} for index, text in enumerate(TEXTS)]
    return *_encoder(_form(Tagging, "tagging", LABELS), 3, tokens=True), [
        *rows[:2],
        {"words": [], "label": []},
        *rows[2:],
    ]


def extractive():
    """In one of the rows there is nothing to be found."""
    rows = [{"text": "is he", "text_pair": text, "answers": [text[:2]], "starts": [0]} for text in TEXTS[:-1]]
    found = {"text": "is he", "text_pair": TEXTS[1], "answers": [], "starts": []}
    form = _form(ExtractiveQA, "extractive QA")
    form.encode = lambda raw, encode=form.encode: _nothing_found(encode(raw))
    return *_encoder(form, 2, tokens=True), [*rows, found]


def _nothing_found(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """As of an answer that was cut off."""
    spans = [
        [-100, -100] if not answers else span for span, answers in zip(columns["span"], columns["answers"], strict=True)
    ]
    return columns | {"span": spans}


def likelihood():
    form = _form(Likelihood, "classification", ("no", "yes", "perhaps in Rome"), "llama", 8)
    return (
        form,
        language_model("llama", vocab_size=SIZE),
        [{"text": text, "label": index % 3} for index, text in enumerate(TEXTS)],
    )


def generation(architecture: str = "llama"):
    model = language_model(architecture, vocab_size=SIZE)
    form = _form(Generation, "generation", (), architecture, 8, (), model.config.is_encoder_decoder)
    return form, model, [{"text": text, "targets": [answer]} for text, answer in zip(TEXTS, TEXTS[::-1], strict=True)]


def encoder_decoder():
    return generation("t5")


def language_modelling():
    return (
        _form(LanguageModelling, "language modelling", (), "llama"),
        language_model("llama", vocab_size=SIZE),
        [{"text": text} for text in TEXTS],
    )


def mixture():
    """Of a member whose loss is of rows, and one whose loss is of tokens."""
    tokenizer = tokenizers.make("byte")
    members = [
        Likelihood(make_task("classification", LABELS), tokenizer, 64, 8),
        Generation(make_task("generation"), tokenizer, 64, 8),
    ]
    form = Mixture(make_task("mixture"), tokenizer, 64, members)
    rows = [
        {"task": index % 2, "text": text, "label": 2 - index % 3 if index % 2 == 0 else None,
         "targets": [TEXTS[-1 - index]] if index % 2 else None}
        for index, text in enumerate(TEXTS)
    ]  # fmt: skip
    return form, language_model("llama", vocab_size=SIZE), rows


CASES = [
    classification, regression, multiple_choice, tagging, extractive, likelihood, generation, encoder_decoder,
    language_modelling, mixture,
]  # fmt: skip


def trainer_of(form: Form, model, head: bool = True, method=None, **budget: Any) -> PhaseTrainer:
    method = method or Full()
    anatomy = Anatomy(model, head_of(model) if head else frozenset())
    method.adapt(anatomy, form.task)
    return PhaseTrainer(Accelerator(cpu=True), model, anatomy, method, method.phases()[0], 1, form, Budget(**budget))


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_parts_add_up_to_that_of_the_whole_batchs_mean_loss(case, size):
    form, model, raw = case()
    rows = features(form, raw)
    trainer = trainer_of(form, model, head=form.head.kind != "language")
    model.eval()  # dropout draws anew for every part
    loss = trainer.form.loss(model, form.collate(rows))
    loss.backward()
    expected = gradients(model)
    model.zero_grad()
    batch = in_micro_batches(form.collate, rows, size)
    assert len(batch["micro_batches"]) == -(-len(rows) // size)
    torch.testing.assert_close(trainer.backward(batch), loss.detach(), rtol=1e-5, atol=1e-6)
    found = gradients(model)
    assert found.keys() == expected.keys() and any(each.abs().max() > 1e-3 for each in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=2e-6, msg=name)


def test_a_batch_that_fits_has_no_parts():
    assert "micro_batches" not in in_micro_batches(lambda rows: {"rows": rows}, [1, 2, 3], 3)


class TooMuch(Classification):
    """Takes `most` examples at a time, and fails on more as the device's allocator does."""

    most = 2
    passes: tuple[int, ...] = ()

    def loss(self, model, batch):
        self._allocate(batch)
        return super().loss(model, batch)

    def predict(self, model, batch):
        self._allocate(batch)
        return super().predict(model, batch)

    def _allocate(self, batch) -> None:
        self.passes += (len(batch["labels"]),)
        if len(batch["labels"]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 PiB")


def test_what_does_not_fit_is_evaluated_with_fewer_examples_at_a_time_to_the_same_end():
    form, model = _encoder(_form(TooMuch, "classification", LABELS), 3)
    rows = features(form, [{"text": text, "label": 1} for text in TEXTS * 2])
    split = Dataset.from_list(rows)
    plain = _form(Classification, "classification", LABELS)
    expected = ask(model, eval_loader(split, plain, 10), plain)
    fitted = FittingSplit(Accelerator(cpu=True), split, form, 10)
    before = torch.get_rng_state()
    found = fitted.each(lambda loader: ask(model, loader, form))
    assert form.passes == (10, 5, 3, 2, 2, 2, 2, 2)
    assert found.predictions == expected.predictions and found.references == expected.references
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    once = torch.get_rng_state()
    torch.set_rng_state(before)
    ask(model, eval_loader(split, plain, 2), plain)
    assert torch.equal(torch.get_rng_state(), once)  # so that what is drawn next is the same
    form.passes = ()
    fitted.each(lambda loader: ask(model, loader, form))
    assert set(form.passes) == {2}  # what fits is remembered


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_does_not_suffice_for_one_example_is_said_with_what_was_asked_for(error):
    tried = []

    def work(size: int) -> None:
        tried.append(size)
        raise error

    with pytest.raises(OutOfMemory, match=r"batches of 3 of 64 tokens; even one example .* machine's \d+\.\d GiB"):
        fitting(3, work, "batches of 3 of 64 tokens", torch.device("cpu"))
    assert tried == [3, 2, 1]


@pytest.mark.gpu
def test_memory_of_a_gpu_that_does_not_suffice_is_given_back_before_the_next_attempt():
    """What an attempt has allocated is gone by then, though the error's traceback held it."""
    device, unit = torch.device("cuda"), 2**28
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(5.5 * unit / total)

    def work(size: int) -> int:
        kept = [torch.empty(unit, dtype=torch.uint8, device=device) for _ in range(size)]
        return len(kept)

    try:
        assert fitting(16, work, "so many", device) == (4, 4)
        with pytest.raises(OutOfMemory, match=r"even one example .* with \d+\.\d GiB"):
            fitting(2, lambda size: work(16), "so many", device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def test_an_error_of_another_kind_is_not_tried_again():
    tried = []

    def work(size: int) -> None:
        tried.append(size)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        fitting(8, work, "", torch.device("cpu"))
    assert tried == [8]


@pytest.mark.parametrize("name", ["full", "lora", "prompt_tuning", "diff_pruning"])
@pytest.mark.parametrize("case", [classification, language_modelling])
def test_activations_that_are_computed_again_give_the_same_gradients(case, name):
    """With dropout on, and on a frozen backbone whose inputs need no gradient."""
    found = []
    for again in (False, True):
        form, model, raw = case()
        if again:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(1)
        trainer = trainer_of(form, model, form.head.kind != "language", METHODS[name], max_grad_norm=1e9)
        model.train()
        torch.manual_seed(2)
        trainer.backward(form.collate(features(form, raw)))
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys() and found[0]
    for parameter, gradient in found[0].items():
        torch.testing.assert_close(found[1][parameter], gradient, rtol=1e-4, atol=1e-6, msg=parameter)


def test_a_profile_is_of_the_step_that_is_trained():
    """In parts, a step has the whole's FLOPs, but no more activations than a part has."""
    costs = {}
    for size in (None, 2):
        torch.manual_seed(0)
        form, model, _ = classification()
        accelerator, anatomy = Accelerator(cpu=True), Anatomy(model, head_of(model))
        METHODS["full"].adapt(anatomy, form.task)
        budget = Budget(batch_size=8, max_length=16, micro_batch=size)
        plain = build(AutoModelForSequenceClassification, "bert", num_labels=3)
        costs[size] = profiling.profile(accelerator, 0, anatomy, METHODS["full"], plain, budget, form)
    assert costs[2].train_flops == costs[None].train_flops
    assert costs[2].gradient_bytes == costs[None].gradient_bytes
    assert costs[2].activation_bytes < 0.4 * costs[None].activation_bytes
    assert costs[2].protocol == costs[None].protocol | {"micro_batch": 2}


def test_a_backbone_that_cannot_compute_activations_again_is_refused(write_suite, tiny_backbone, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    shape = CONFIGS["albert"] | {"vocab_size": len(tokenizer), "pad_token_id": 0}
    AutoModel.from_config(AutoConfig.for_model("albert", **shape)).save_pretrained(tmp_path / "albert")
    tokenizer.save_pretrained(tmp_path / "albert")
    both = [str(tiny_backbone), str(tmp_path / "albert")]
    budget = {"max_length": 32, "activation_checkpointing": True}
    with pytest.raises(SuiteError) as refused:
        Suite.load(str(write_suite(backbones=both, budget=budget)))
    [line] = str(refused.value).splitlines()
    assert "budget.activation_checkpointing: transformers has none for albert" in line and "leave it out" in line
    assert Suite.load(str(write_suite(budget=budget))).cells
    for value, said in ((0, "greater than or equal to 1"), (True, "true is no number")):
        with pytest.raises(SuiteError, match=f"budget.micro_batch: .*{said}"):
            Suite.load(str(write_suite(budget={"micro_batch": value})))
