"""What a task's scores must be to be kept, and how a model's failure is told from a low score. Imports no torch."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from records.predictions import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.base import Metric, Task


class Diverged(Exception):
    """A loss is no longer a number."""


class ScoreError(Exception):
    """A task's `score` does not give what its card promises; the message is one line for the task's author."""


def require_finite(loss: float, which: str, when: str = "") -> None:
    """Raises Diverged. Of logits that are no numbers, the largest still has an index, and so a score."""
    if not math.isfinite(loss):
        raise Diverged(f"the {which} loss is not finite{when}")


def checked_scores(task: Task, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    """The task's scores as floats, the card's metrics first and in its order. NaN and the infinities stay: the metric
    is undefined. Raises ScoreError."""
    where = f"task {task.name}: score()"
    try:
        found = task.score(predictions, references)
    except MemoryError:
        raise
    except Exception as error:
        raise ScoreError(f"{where} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise ScoreError(f"{where} returned {_shown(found)}, and not a dictionary from each metric's name to its value")
    lacking = [name for name in task.card.metrics if name not in found and task.kind != "mixture"]
    if lacking:
        got = ", ".join(map(str, found)) or "nothing"
        raise ScoreError(f"{where} returned {got}, and not {', '.join(map(str, lacking))}, which its card names")
    ordered = [name for name in task.card.metrics if name in found]
    return {
        str(name): _checked(where, str(name), found[name], task.card.scales.get(str(name)))
        for name in dict.fromkeys([*ordered, *found])
    }


def example_scores(
    task: Task, predictions: Sequence[Any], references: Sequence[Any], scores: Mapping[str, float]
) -> dict[str, list[float]]:
    """The values on examples of those metrics that are their mean. Raises ScoreError where the task says so of a metric
    and it is not, or has another number of values."""
    where = f"task {task.name}: score_each()"
    try:
        found = task.score_each(predictions, references)
    except MemoryError:
        raise
    except Exception as error:
        raise ScoreError(f"{where} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise ScoreError(f"{where} returned {_shown(found)}, and not a dictionary from metrics to values by example")
    kept = {}
    for name, given in found.items():
        values = [_checked(where, str(name), value, None) for value in given]
        if len(values) != len(predictions):
            raise ScoreError(f"{where} returned {len(values)} values of {name} for {len(predictions)} examples")
        mean = math.fsum(values) / max(len(values), 1)
        if name in scores and math.isclose(mean, scores[name], rel_tol=1e-6, abs_tol=1e-9):
            kept[str(name)] = values
        elif type(task).score_each is not _default_score_each():
            said = f"score() gives {scores[name]:g}" if name in scores else "score() has no such metric"
            raise ScoreError(f"{where} returned values of {name} of mean {mean:g}, but {said}; leave {name} out of it")
    return kept


def _default_score_each() -> Any:
    from tasks.base import Task

    return Task.score_each


def resampled(
    task: Task, examples: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]
) -> dict[str, list[float]]:
    """The primary metric on RESAMPLES draws of the examples with replacement. They depend on the examples alone: those
    of two models are paired, and their differences tell how the difference would vary with other examples (Efron and
    Tibshirani, 1993)."""
    import numpy as np

    primary = task.card.primary.name
    order = sorted(range(len(examples)), key=lambda index: examples[index])
    generator = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES):
        drawn = [order[place] for place in generator.integers(len(order), size=len(order))]
        scores = checked_scores(task, [predictions[i] for i in drawn], [references[i] for i in drawn])
        values.append(scores[primary])
    return {primary: values}


def _checked(where: str, name: str, value: Any, scale: Metric | None) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ScoreError(f"{where} returned {name} = {_shown(value)}, which is no number; return a float")
    try:
        number = float(value)
    except (OverflowError, ValueError) as error:
        raise ScoreError(f"{where} returned {name} = {_shown(value)}: {error}") from None
    if scale is not None and not scale.allows(number):
        raise ScoreError(
            f"{where} returned {name} = {number:g}, which its card has between {_bound(scale.low)} and"
            f" {_bound(scale.high)}; {_advice(name, number, scale)}"
        )
    return number


def _advice(name: str, value: float, scale: Metric) -> str:
    """What the author writes to be understood."""
    low, high = scale.low, scale.high
    if low is not None and value < low:
        return f'if that is right, its card says so with Metric("{name}", low=...), None where it has no bound'
    if high == 1 and value <= 100:
        return f'return a fraction, {value / 100:g}, or have its card say Metric("{name}", high=100)'
    return f'if that is right, its card says so with Metric("{name}", high=...), None where it has no bound'


def _bound(value: float | None) -> str:
    return "any number" if value is None else f"{value:g}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "something without a repr"
    return f"{text if len(text) <= 60 else text[:60] + '…'} ({type(value).__name__})"
