"""What the page's view of errors reads: the hardest test examples of each task, and what every family answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis.errors import Errors
from reports.analysis.examples import Example
from reports.results import Results

# Digits of an example's id that the page shows.
DIGITS = 12


def errors(results: Results, found: Sequence[Errors]) -> list[dict[str, Any]]:
    """One entry per backbone and task. Answers are told once, and named by their numbers."""
    return [_task(results, one) for one in found]


def _task(results: Results, one: Errors) -> dict[str, Any]:
    numbers: dict[str, int] = {}
    scale = results.scale(one.task)
    return {
        "backbone": results.backbones.index(one.backbone),
        "task": results.tasks.index(one.task),
        "n": one.n,
        "runs": len(one.cells),
        "judged": one.judged,
        "kind": "points" if one.judged or scale.in_points else f"places:{scale.decimals}",
        "families": one.families,
        "wrongByAll": one.wrong_by_all,
        "wrongAlone": [one.wrong_alone.get(family, 0) for family in one.families],
        "rightAlone": [one.right_alone.get(family, 0) for family in one.families],
        "examples": [_example(one, example, numbers) for example in one.examples],
        "answers": list(numbers),
    }


def _example(one: Errors, example: Example, numbers: dict[str, int]) -> list[Any]:
    """Id, text, expected answer, mean value, whether all are wrong, the families that are wrong and right alone, and
    by family its answer, mean value and number of runs."""
    number = {family: at for at, family in enumerate(one.families)}
    return [
        example.id[:DIGITS],
        example.text,
        numbers.setdefault(example.expected, len(numbers)),
        round(example.value, 4),
        int(example.wrong_by_all),
        number.get(example.wrong_alone or "", -1),
        number.get(example.right_alone or "", -1),
        [
            [numbers.setdefault(said.answer, len(numbers)), round(said.value, 4), said.n]
            for said in (example.said[family] for family in one.families)
        ],
    ]
