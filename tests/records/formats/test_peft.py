"""What a result file of huggingface/peft becomes: what it says, and nothing that it does not."""

from __future__ import annotations

import json

import pytest

from records.formats import peft
from records.formats.peft_file import UnusableFile, read
from records.record import Record
from tests.records.formats.peft_files import images, metamath


def record_of(content: dict) -> Record:
    found = read("file.json", json.dumps(content).encode())
    return peft.record(found, found.label)


def test_a_run_on_metamathqa():
    found = record_of(metamath(right=660))
    assert (found.status, found.cell.method, found.cell.label, found.cell.seed) == ("ok", "peft:lora", "lora/rank8", 0)
    assert (found.cell.backbone, found.cell.backbone_revision) == ("maker/Tiny-1B", "c" * 40)
    assert found.test == {"accuracy": 660 / 1319, "forgetting": 0.25}
    assert found.validation == {"accuracy": 0.8}
    assert [(line.step, line.train_loss, line.validation) for line in found.history] == [
        (20, 0.05, {"accuracy": 0.4}),
        (40, 0.025, {"accuracy": 0.8}),
    ]
    assert (found.data.train, found.data.test, found.data.steps, found.data.train_tokens) == (160, 1319, 40, 4000)
    assert found.data.commits == {"metamath": "d" * 40, "gsm8k": "e" * 40}
    assert (found.parameters.adapter, found.parameters.total) == (1_000_000, 1_000_000)
    assert (found.started, found.finished) == ("2026-03-01T10:00:00+00:00", "2026-03-01T10:01:30+00:00")
    assert found.wall_seconds == 90
    assert found.environment["versions"] == {"peft": "0.19.1", "torch": "2.12.0"}
    assert (found.environment["device"], found.environment["commit"]) == ("Card X", "b" * 40)


def test_costs_are_what_was_measured_and_a_step_has_its_share_of_the_time():
    cost = record_of(metamath()).cost
    told = cost.model_dump(exclude_none=True, exclude={"protocol", "phases", "rounds", "passes", "generation"})
    # Two lines of 20 steps each took 2 s each, at 1,000 tokens/s.
    assert told == {
        "peak_memory_bytes": 12_000_000_000, "stored_bytes": 4_000_000, "step_seconds": pytest.approx(4 / 40),
        "train_tokens_per_second": pytest.approx(1000.0),
    }  # fmt: skip
    assert cost.protocol["accelerator"] == "Card X" and cost.protocol["batch_size"] == 4


def test_a_run_on_image_generation():
    found = record_of(images(similarity=0.7))
    assert (found.cell.task, found.cell.label, found.cell.method) == ("image-gen", "oft/default", "peft:oft")
    assert found.test == {"dino_similarity": 0.7, "drift": 0.2}
    assert found.data.commits == {"maker/things": "f" * 40}
    assert (found.data.test, found.data.train_tokens, found.cost.train_tokens_per_second) == (4, None, None)
    assert found.cost.step_seconds == pytest.approx(40 / 50)


def test_what_a_file_does_not_say_is_absent():
    found = record_of(metamath())
    cell = found.cell
    assert (cell.budget, cell.precision, cell.form) == (None, None, None)
    assert (found.parameters.backbone, found.parameters.percent) == (None, None)
    assert (found.data.validation, found.data.duplicates_removed, found.best_step) == (None, None, None)
    assert not found.forgetting  # which is in nats per byte, before and after; the file's is a difference per token
    assert {line.validation_loss for line in found.history} == {None}
    # What peft writes where the size of the checkpoint could not be found out.
    assert record_of(metamath(train_info__file_size=99_999_999)).cost.stored_bytes is None


def test_of_another_test_set_the_number_of_questions_is_not_known():
    assert record_of(metamath(right=660.5)).data.test is None


def test_hyperparameters_are_what_was_set():
    found = record_of(metamath()).cell
    assert found.hyperparameters == {
        "lr": 1e-4, "weight_decay": 0.1, "optimizer_type": "AdamW", "lr_scheduler": "cosine", "dtype": "bfloat16",
        "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"],
    }  # fmt: skip
    assert found.task_options["query_template"] == "Q: {query}"
    masks = {"layer": [True, False] * 1000}
    longer = record_of(metamath(run_info__peft_config={"peft_type": "ADALORA", "rank_pattern": masks, "init_r": 12}))
    assert longer.cell.hyperparameters["init_r"] == 12 and "rank_pattern" not in longer.cell.hyperparameters


@pytest.mark.parametrize(
    ("model", "name", "label"),
    [
        ("meta-llama/Llama-3.2-3B", "lora/llama-3.2-3B-rank32-lorafa", "lora/rank32-lorafa"),
        ("black-forest-labs/FLUX.2-klein-base-4B", "oft/flux2-klein-default", "oft/default"),
        ("maker/Tiny-1B", "full/tiny-1B", "full/1B"),
        ("maker/Tiny-1B", "ia3/other", "ia3/other"),
    ],
)
def test_a_label_is_the_experiments_name_without_the_models(model, name, label):
    assert record_of(metamath(name, run_info__train_config__model_id=model)).cell.label == label


def test_without_a_configuration_all_of_the_model_was_trained():
    assert record_of(metamath(run_info__peft_config=None)).cell.method == "full"


def test_two_experiments_are_two_cells_though_nothing_else_differs():
    assert record_of(metamath("lora/one")).id != record_of(metamath("lora/two")).id


def test_a_run_that_did_not_end_is_failed_with_its_reason():
    content = metamath(train_info__status="canceled", run_info__error_msg="out of\nmemory \x1b[31mred")
    content["train_info"]["metrics"].pop()
    found = record_of(content)
    assert (found.status, found.reason, found.test) == ("failed", "out of memory red", {})


def test_a_record_comes_back_from_its_json():
    found = record_of(metamath())
    assert Record.model_validate_json(found.model_dump_json()) == found


FAULTS = {
    "no JSON": (b"{", "is no JSON"),
    "not text": (b"\xff\xfe\x00", "is no JSON"),
    "a list": (b"[]", "is no result file"),
    "deep": (b'{"a": ' + b"[" * 90_000, "is no JSON"),
    "deep and closed": (json.dumps(metamath()).encode()[:-1] + b', "x": ' + b"[" * 60 + b"]" * 60 + b"}", "nested"),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON"),
    "empty": (b"{}", "run_info: Field required"),
    "NaN": (metamath(right=float("nan")), "'test accuracy' is to be a finite number"),
    "infinite": (metamath(right=float("inf")), "'test accuracy' is to be a finite number"),
    "a word for a number": (metamath(train_info__metrics__2={"step": 40, "test accuracy": "0.5"}), "finite number"),
    "more than all": (metamath(right=1320), "out of its range"),
    "below the range": (images(similarity=-1.5), "out of its range"),
    "a huge number": (metamath(train_info__file_size=10**30), "train_info.file_size"),
    "a negative number": (metamath(run_info__total_time=-1.0), "run_info.total_time"),
    "a number as text": (metamath(run_info__total_time="90"), "run_info.total_time"),
    "no test score": (metamath(train_info__metrics=[]), "lacks 'test accuracy'"),
    "control characters": (metamath("lora/\x1b[31mred"), "cannot be printed"),
    "turned text": (metamath(run_info__train_config__model_id="a\u202eb"), "cannot be printed"),
    "a path as a name": (metamath("../../etc/passwd"), "is to be <method>/<experiment>"),
    "a path of two": (metamath("../passwd"), "is to be <method>/<experiment>"),
    "no day": (metamath(run_info__created_at="yesterday"), "run_info.created_at"),
    "a day at the end": (metamath(run_info__created_at="9999-12-31T23:59:59"), "run_info.created_at"),
    "a type that is none": (metamath(run_info__peft_config={"peft_type": "../x"}), "peft_type: names no type"),
    "another benchmark": (metamath(run_info__train_config={"model_id": "m", "seed": 0}), "is not known"),
    "a seed that is none": (metamath(run_info__train_config__seed=True), "run_info.train_config.seed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_one_line(fault):
    content, said = FAULTS[fault]
    with pytest.raises(UnusableFile) as caught:
        read("file.json", content if isinstance(content, bytes) else json.dumps(content).encode())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_hostile_values_do_not_get_into_hyperparameters():
    adapter = {"peft_type": "LORA", "r": 10**40, "note": "a\x1b[31mb\u202ec", "n": float("nan"), "deep": {"x": [1e999]}}
    found = record_of(metamath(run_info__peft_config=adapter)).cell.hyperparameters
    assert found["note"] == "abc" and not {"r", "n", "deep"} & found.keys()
