"""Records as peft's result files: what was read from such a file stands in it again, and of our own cells nothing is
told that their records do not tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from records.formats import peft, peft_export
from records.formats.names import portable, told_apart
from records.formats.peft_file import read
from records.record import Record
from tests.records.formats.peft_files import images, metamath
from tests.reports import synthetic_results


def record_of(content: dict[str, Any]) -> Record:
    found = read("file.json", json.dumps(content).encode())
    return peft.record(found, found.label)


def leaves(value: Any, way: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Every value that is no mapping, and no list of mappings, with the way to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner or (isinstance(value, list) and not all(isinstance(each, dict) for each in value)):
        yield way, value
        return
    for key, each in inner:
        yield from leaves(each, (*way, key))


FILES = {
    "MetaMathQA": metamath(),
    "image generation": images(),
    "all of the model": metamath("full/tiny-1B", run_info__peft_config=None),
    "more optimiser": metamath(run_info__train_config__optimizer_kwargs={"lr": 1e-4, "betas": [0.9, 0.95]}),
    "failed": metamath(train_info__status="failed", run_info__error_msg="out of memory"),
}


@pytest.mark.parametrize("name", FILES)
def test_all_that_a_record_tells_of_a_file_is_what_the_file_tells(name):
    """The record alone, by way of its JSON; the file, which is kept beside it, is not looked at."""
    original = FILES[name]
    told = Record.model_validate_json(record_of(original).model_dump_json())
    there = dict(leaves(original))
    made = {way: value for way, value in leaves(peft_export.content(told)) if value not in (None, {}, [])}
    # Among them are both scores, the sizes, the step count, the configuration of training and adapter, and versions.
    assert len(made) > 30
    assert made == {way: there.get(way, "is not in the file") for way in made}


def test_lines_of_training_are_in_their_places_with_the_test_at_the_end():
    lines = peft_export.content(record_of(metamath(right=660)))["train_info"]["metrics"]
    assert [line.get("valid accuracy") for line in lines] == [0.4, 0.8, None]
    assert lines[-1]["test accuracy"] == 660 / 1319 and lines[-1]["forgetting"] == 0.25


# What huggingface/peft's own processing reads of a file (method_comparison/processing.py).
READ = {
    "run_info": ("created_at", "total_time", "experiment_name", "peft_branch", "train_config", "peft_config"),
    "train_info": (
        "accelerator_memory_reserved_avg", "accelerator_memory_max", "accelerator_memory_reserved_99th", "train_time",
        "file_size", "status", "metrics",
    ),
    "meta_info": ("package_info", "system_info"),
}  # fmt: skip


def own(method: str = "lora", **changes: Any) -> Record:
    record = synthetic_results.record(synthetic_results.cell(method, "rotten_tomatoes", 1), score=0.8)
    return record.model_copy(update=changes)


def test_a_cell_of_ours_has_all_that_pefts_processing_reads_and_null_where_it_was_not_measured():
    record = own()
    made = json.loads(json.dumps(peft_export.content(record), allow_nan=False))
    for part, names in READ.items():
        assert set(names) <= made[part].keys()
    packages = ("peft", "transformers", "datasets", "torch", "bitsandbytes")
    assert {f"{name}-version" for name in packages} <= made["meta_info"]["package_info"].keys()
    assert made["meta_info"]["package_info"]["torch-version"] == "2.13.0"
    last = made["train_info"]["metrics"][-1]
    assert (last["test accuracy"], last["test macro_f1"], last["step"]) == (0.8, 0.792, 189)
    assert last["train total tokens"] == 160_000
    # Counted neither by us nor by anybody: how many samples passed, what was reserved, what training alone took.
    assert [last["train samples"], made["train_info"]["train_time"]] == [None, None]
    assert made["train_info"]["accelerator_memory_max"] == record.cost.peak_memory_bytes
    assert made["train_info"]["num_trainable_params"] == 73_728 + 770
    config = made["run_info"]["train_config"]
    assert (config["model_id"], config["seed"], config["batch_size"]) == ("embedded:minilm-l6", 1, 32)
    assert config["optimizer_kwargs"] == {"lr": 1e-3, "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("full", None),
        ("lora", {"peft_type": "lora", "implementation": "adaptbench", "rank": 8}),
        ("peft:loha", {"peft_type": "LOHA", "rank": 8}),
    ],
)
def test_only_pefts_own_methods_have_pefts_types_and_only_full_tuning_has_no_configuration(method, config):
    record = own()
    of = record.cell.model_copy(update={"method": method, "hyperparameters": {"lr": 1e-3, "rank": 8}})
    made = peft_export.content(record.model_copy(update={"cell": of}))
    assert made["run_info"]["peft_config"] == config


def test_a_score_that_is_no_number_is_null():
    record = own(test={"accuracy": float("nan")})
    record.cell.hyperparameters["scale"] = [float("inf")]
    made = peft_export.content(record)
    json.dumps(made, allow_nan=False)
    assert made["train_info"]["metrics"][-1]["test accuracy"] is None


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a/b:c", "a-b-c"),
        ("../..", "unnamed"),
        ("CON", "CON_"),
        ("con.json", "con.json_"),
        ("größe", "gr-e"),
        ("", "unnamed"),
    ],
)
def test_names_fit_any_file_system(name, made):
    assert portable(name) == made


def test_names_stay_apart():
    made = told_apart(["peft:lora", "peft-lora", "PEFT/lora"])
    assert list(made.values()) == ["peft-lora", "peft-lora-2", "PEFT-lora-3"]
