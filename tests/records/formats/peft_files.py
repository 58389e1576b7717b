"""Result files as huggingface/peft's method_comparison writes them, with contents of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

QUESTIONS = 1319


def metamath(name: str = "lora/tiny-1B-rank8", right: int = 660, **changes: Any) -> dict[str, Any]:
    """A run of 40 steps on MetaMathQA of which so many of GSM8K's 1,319 test questions are right. `changes` lead into
    the file, as in `run_info__seed`."""
    lines = [
        {
            "step": step, "valid accuracy": 0.02 * step, "train loss": 1.0 / step, "train samples": 4 * step,
            "train time": 2.0, "eval time": 1.0, "tokens / sec": 1000.0, "mem allocated avg": 7.0e9,
            "mem reserved avg": 9.0e9, "elapsed time": 3.0,
        }
        for step in (20, 40)
    ]  # fmt: skip
    last = {
        "step": 40, "test accuracy": right / QUESTIONS, "train loss": 0.025, "train samples": 160,
        "train total tokens": 4000, "forgetting": 0.25,
    }  # fmt: skip
    train_config = {
        "model_id": "maker/Tiny-1B", "dtype": "bfloat16", "max_seq_length": 768, "batch_size": 4, "max_steps": 40,
        "query_template": "Q: {query}", "seed": 0, "optimizer_type": "AdamW", "use_gc": False,
        "optimizer_kwargs": {"lr": 1e-4, "weight_decay": 0.1}, "lr_scheduler": "cosine",
    }  # fmt: skip
    peft_config = {
        "peft_type": "LORA", "base_model_name_or_path": "maker/Tiny-1B", "r": 8, "lora_alpha": 16, "use_dora": False,
        "target_modules": ["q_proj"], "layers_pattern": None,
    }  # fmt: skip
    datasets = {"metamath": {"sha": "d" * 40}, "gsm8k": {"sha": "e" * 40}}
    return _changed(_file(name, train_config, peft_config, [*lines, last], datasets), changes)


def images(name: str = "oft/draw-4B-default", similarity: float = 0.7, **changes: Any) -> dict[str, Any]:
    """A run of 100 steps on image generation."""
    lines = [
        {
            "step": 50, "valid dino_similarity": 0.5, "train loss": 0.7, "train samples": 100, "train time": 40.0,
            "eval time": 3.0, "mem allocated avg": 8.0e9, "mem reserved avg": 9.0e9, "elapsed time": 43.0,
        },
        {
            "step": 100, "test dino_similarity": similarity, "drift": 0.2, "train loss": 0.6, "train samples": 200,
        },
    ]  # fmt: skip
    train_config = {
        "model_id": "maker/Draw-4B", "dataset_id": "maker/things", "dtype": "bfloat16", "resolution": 512,
        "batch_size": 2, "seed": 0, "optimizer_type": "AdamW", "optimizer_kwargs": {"lr": 1e-4}, "valid_size": 2,
        "test_size": 4, "dino_model_id": "maker/dino", "num_inference_steps": 20,
    }  # fmt: skip
    peft_config = {"peft_type": "OFT", "oft_block_size": 32}
    return _changed(_file(name, train_config, peft_config, lines, {"sha": "f" * 40}), changes)


def _file(
    name: str, train_config: dict[str, Any], peft_config: dict[str, Any], lines: list[Any], datasets: dict[str, Any]
) -> dict[str, Any]:
    return {
        "run_info": {
            "created_at": "2026-03-01T10:00:00+00:00", "total_time": 90.0, "experiment_name": name,
            "peft_branch": "main", "train_config": train_config, "peft_config": peft_config, "error_msg": "",
        },
        "train_info": {
            "accelerator_memory_reserved_avg": 9_000_000_000, "accelerator_memory_max": 12_000_000_000,
            "accelerator_memory_reserved_99th": 11_000_000_000, "train_time": 60.0, "file_size": 4_000_000,
            "num_trainable_params": 1_000_000, "num_total_params": 1_001_000_000, "status": "success",
            "metrics": lines,
        },
        "meta_info": {
            "model_info": {"sha": "c" * 40, "created_at": "2025-01-01T00:00:00+00:00"},
            "dataset_info": datasets,
            "package_info": {"peft-version": "0.19.1", "peft-commit-hash": "b" * 40, "torch-version": "2.12.0"},
            "system_info": {"system": "Linux", "release": "6.1", "machine": "x86_64", "accelerator": "Card X"},
            "pytorch_info": "built with care",
        },
    }  # fmt: skip


def _changed(made: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        *way, last = key.split("__")
        place = made
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[int(last) if isinstance(place, list) else last] = value
    return made


def write(folder: Path, *contents: dict[str, Any]) -> Path:
    """Each under the name that peft gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    for content in contents:
        name = content["run_info"]["experiment_name"].replace("/", "--")
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2))
    return folder
