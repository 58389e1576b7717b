"""The examples behind a score, in the schema of Every Eval Ever: a line for each example and metric."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from records.cards import TaskCard
from records.cell import Cell
from records.predictions import INDEXED, Predictions

# Columns of a row that hold, or give away, the right answer (tasks.base.Task.load).
ANSWERS = {"label", "answers", "starts", "targets"}


def samples(
    cell: Cell,
    task: TaskCard,
    found: Predictions,
    texts: Mapping[str, Mapping[str, Any]],
    identity: Mapping[str, str],
    results: Mapping[str, str],
) -> list[dict[str, Any]]:
    """`results` are the metrics by their results' ids, of which those that are a mean over examples have lines; where
    none is, of classes and choices there is a line that says whether they are right. Empty where some example's text
    was not kept: the schema asks for it."""
    if any(example not in texts for example in found.examples):
        return []
    scored = {identifier: found.scores[metric] for identifier, metric in results.items() if metric in found.scores}
    if not scored and found.kind in INDEXED:
        pairs = zip(found.predictions, found.references, strict=True)
        scored = {"": [float(given == right) for given, right in pairs]}
    lines = []
    for index, common in enumerate(_examples(cell, task, found, texts)):
        for identifier, values in scored.items():
            if math.isfinite(values[index]):
                lines.append(
                    dict(identity)
                    | {"evaluation_name": f"adaptbench.{cell.task}"}
                    | ({"evaluation_result_id": identifier} if identifier else {})
                    | common
                    | {"evaluation": {"score": values[index], "is_correct": values[index] == 1.0}}
                )
    return lines


def _examples(
    cell: Cell, task: TaskCard, found: Predictions, texts: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What does not depend on the metric."""
    method = _extraction(cell, found)
    for index, (example, given, right) in enumerate(
        zip(found.examples, found.predictions, found.references, strict=True)
    ):
        row = texts[example]
        names = _choices(found.kind, task, row)
        reference = [_said(each, names) for each in (right if _several(found.kind) else [right])]
        question, answer = _question(row), _said(given, names)
        hashed = json.dumps({"raw": question, "reference": reference}, sort_keys=True, separators=(",", ":"))
        yield {
            "sample_id": example,
            "sample_hash": hashlib.sha256(hashed.encode()).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": question, "reference": reference}
            | ({"choices": names} if names and found.kind in INDEXED else {}),
            "output": {"raw": [answer]},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": answer,
                    "extraction_method": method,
                    "is_terminal": True,
                }
            ],
            "metadata": {"tokens_read": str(found.tokens[index])} if found.tokens else {},
        }


def _several(kind: str) -> bool:
    """Whether a reference is a list of texts each of which is right."""
    return kind in ("generation", "extractive QA")


def _question(row: Mapping[str, Any]) -> str:
    """The text alone where there is nothing else beside it; without the answer."""
    asked = {name: value for name, value in row.items() if name not in ANSWERS and value is not None}
    if asked.keys() == {"text"} and isinstance(asked["text"], str):
        return asked["text"]
    return json.dumps(asked, ensure_ascii=False)


def _choices(kind: str, task: TaskCard, row: Mapping[str, Any]) -> list[str]:
    """What an index stands for."""
    if kind in ("classification", "tagging"):
        return list(task.labels)
    told = row.get("choices")
    return [str(each) for each in told] if kind == "multiple choice" and isinstance(told, list) else []


def _said(value: Any, names: list[str]) -> str:
    """A class or choice by its name; of a tagging every word's."""
    if isinstance(value, list) and names:
        return json.dumps([_said(each, names) for each in value], ensure_ascii=False)
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _extraction(cell: Cell, found: Predictions) -> str:
    if found.likelihoods:
        return "the likeliest answer by length-normalised log-likelihood"
    if cell.form == "head":
        return "the output of the task head"
    return "the generated text"
