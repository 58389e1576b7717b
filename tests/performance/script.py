"""One cell as people write it, with peft and transformers' Trainer at its usual settings: python script.py CELL.json

Imports nothing of ours. Prints, as JSON, its accuracy on the test examples and where its seconds went.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """The seconds begin when the process was started, which whoever started it says."""
    cell = json.loads(Path(sys.argv[1]).read_text())

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

    spent = {f"{when}{what}": 0.0 for when in ("training", "evaluation") for what in (" tokens", " real tokens")}
    spent |= {"start": 0.0, "training": 0.0, "evaluation": 0.0}
    phase = ["training"]

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                spent["start"] = time.monotonic() - cell["started"]

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if cell["method"] == "adalora":
                model.base_model.update_and_allocate(state.global_step + 1)

    class Timed(Trainer):  # type: ignore[misc]
        def evaluation_loop(self, *arguments: Any, **options: Any) -> Any:
            began, phase[0] = time.monotonic(), "evaluation"
            found = super().evaluation_loop(*arguments, **options)
            spent["evaluation"] += time.monotonic() - began
            phase[0] = "training"
            return found

    set_seed(cell["seed"])
    tokenizer = AutoTokenizer.from_pretrained(cell["backbone"])
    pad = DataCollatorWithPadding(tokenizer)

    def collate(rows: list[dict[str, Any]]) -> Any:
        batch = pad(rows)
        spent[f"{phase[0]} tokens"] += batch["input_ids"].numel()
        spent[f"{phase[0]} real tokens"] += int(batch["attention_mask"].sum())
        return batch

    def tokenised(split: str) -> Dataset:
        rows = Dataset.from_list(json.loads(Path(cell[split]).read_text()))
        return rows.map(
            lambda row: tokenizer(row["text"], truncation=True, max_length=cell["max_length"]), batched=True
        )

    splits = {split: tokenised(split) for split in ("train", "validation", "test")}
    model = AutoModelForSequenceClassification.from_pretrained(cell["backbone"], num_labels=cell["labels"])
    steps = cell["epochs"] * math.ceil(len(splits["train"]) / cell["batch_size"])
    model = adapted(model, cell["method"], steps)
    arguments = TrainingArguments(
        output_dir=cell["output"],
        num_train_epochs=cell["epochs"],
        per_device_train_batch_size=cell["batch_size"],
        learning_rate=cell["lr"],
        warmup_steps=math.ceil(cell["warmup"] * steps),
        eval_strategy="epoch",
        save_strategy="no",
        label_names=["labels"],
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        seed=cell["seed"],
        bf16=cell["bf16"],
    )

    def accuracy(found: Any) -> dict[str, float]:
        return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}

    trainer = Timed(
        model,
        arguments,
        data_collator=collate,
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        compute_metrics=accuracy,
        callbacks=[Watch()],
    )
    trainer.train()
    spent["training"] = time.monotonic() - cell["started"] - spent["start"] - spent["evaluation"]
    score = trainer.predict(splits["test"]).metrics["test_accuracy"]
    print(json.dumps({"accuracy": score, "threads": torch.get_num_threads(), "spent": spent}))


if __name__ == "__main__":
    main()
