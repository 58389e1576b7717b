"""One cell as people write it, with peft and transformers' Trainer at its usual settings: python script.py CELL.json

Imports nothing of ours. Prints, as JSON, its accuracy on the test examples and where its seconds went, which begin when
the process was started.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft_methods import adapted
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

SPENT: dict[str, float] = defaultdict(float)


class Timed(Trainer):  # type: ignore[misc]
    """Knows how long it has evaluated."""

    evaluates = False

    def evaluation_loop(self, *arguments: Any, **options: Any) -> Any:
        began, Timed.evaluates = time.monotonic(), True
        found = super().evaluation_loop(*arguments, **options)
        SPENT["evaluation"] += time.monotonic() - began
        Timed.evaluates = False
        return found


class Counting(DataCollatorWithPadding):  # type: ignore[misc]
    """The usual one, which counts tokens."""

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        batch = super().__call__(features)
        when = "evaluation" if Timed.evaluates else "training"
        SPENT[f"{when} tokens"] += batch["input_ids"].numel()
        SPENT[f"{when} real tokens"] += int(batch["attention_mask"].sum())
        return batch


class Watch(TrainerCallback):  # type: ignore[misc]
    """Knows when the first step is done, and has AdaLoRA allocate its ranks."""

    def __init__(self, model: Any, cell: dict[str, Any]) -> None:
        self.model, self.cell = model, cell

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            SPENT["start"] = time.monotonic() - self.cell["started"]

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.cell["method"] == "adalora":
            self.model.base_model.update_and_allocate(state.global_step + 1)


def accuracy(found: Any) -> dict[str, float]:
    """Of predictions that have their labels."""
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


def settings(cell: dict[str, Any], steps: int) -> TrainingArguments:
    """All that a cell does not say is as it comes."""
    return TrainingArguments(
        output_dir=cell["output"],
        num_train_epochs=cell["epochs"],
        per_device_train_batch_size=cell["batch_size"],
        learning_rate=cell["lr"],
        warmup_steps=math.ceil(cell["warmup"] * steps),
        eval_strategy="epoch",
        save_strategy="no",
        label_names=["labels"],
        report_to="none",
        disable_tqdm=True,
        seed=cell["seed"],
        bf16=cell["bf16"],
        use_cpu=not torch.cuda.is_available(),
    )


def main() -> None:
    """Trains, and tests."""
    cell = json.loads(Path(sys.argv[1]).read_text())
    set_seed(cell["seed"])
    tokenizer = AutoTokenizer.from_pretrained(cell["backbone"])

    def tokenised(split: str) -> Dataset:
        rows = Dataset.from_list(json.loads(Path(cell[split]).read_text()))
        return rows.map(
            lambda row: tokenizer(row["text"], truncation=True, max_length=cell["max_length"]), batched=True
        )

    splits = {split: tokenised(split) for split in ("train", "validation", "test")}
    model = AutoModelForSequenceClassification.from_pretrained(cell["backbone"], num_labels=cell["labels"])
    steps = cell["epochs"] * math.ceil(len(splits["train"]) / cell["batch_size"])
    model = adapted(model, cell["method"], steps)
    trainer = Timed(
        model,
        settings(cell, steps),
        data_collator=Counting(tokenizer),
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        compute_metrics=accuracy,
        callbacks=[Watch(model, cell)],
    )
    trainer.train()
    SPENT["training"] = time.monotonic() - cell["started"] - SPENT["start"] - SPENT["evaluation"]
    score = trainer.predict(splits["test"]).metrics["test_accuracy"]
    print(json.dumps({"accuracy": score, "spent": SPENT}))


if __name__ == "__main__":
    main()
