"""What a task is to the rest of the world: a card, its data in canonical columns, and a score."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from datasets import DatasetDict

Kind = Literal[
    "classification",
    "regression",
    "tagging",
    "multiple choice",
    "extractive QA",
    "generation",
    "language modelling",
    "mixture",
]


class TaskUnavailable(Exception):
    """A task's data cannot be had; the message says in one line why, and what to do."""


@dataclass(frozen=True)
class Metric:
    """How a metric is to be read: which way is better, and between which values it lies (None: unbounded)."""

    name: str
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0

    def allows(self, value: float) -> bool:
        """Whether a score can have this value. NaN and the infinities can: they say that it is undefined."""
        if not math.isfinite(value):
            return True
        slack = 1e-6 * max(1.0, abs(value))  # of sums in single precision
        return (self.low is None or value >= self.low - slack) and (self.high is None or value <= self.high + slack)

    def standing(self, value: float) -> float:
        """A number that is higher for the better score, and lowest for an undefined one."""
        if not math.isfinite(value):
            return -math.inf
        return value if self.higher_is_better else -value


def _unbounded(name: str) -> Metric:
    return Metric(name, higher_is_better=False, high=None)


# What is read otherwise than as a fraction of which more is better, under the names that the field has for it.
_OTHERS = {
    metric.name: metric
    for metric in (
        *(Metric(name, low=-1.0) for name in ("matthews", "mcc", "pearson", "spearman", "kendall", "cohen_kappa")),
        Metric("r2", low=None),
        *(Metric(name, higher_is_better=False) for name in ("error_rate", "error", "brier", "hamming_loss", "ece")),
        *(_unbounded(name) for name in ("wer", "cer", "ter", "loss", "log_loss", "nll", "mae", "mse", "rmse")),
        *(_unbounded(name) for name in ("perplexity", "perplexity_per_byte", "perplexity_per_token", "bits_per_byte")),
    )
}
_FRACTIONS = re.compile(
    r"accuracy|balanced_accuracy|exact_match|average|byte_probability|auc|roc_auc|average_precision|(map|mrr)(@\d+)?"
    r"|pass@\d+|(f1|precision|recall)(a|_\w+|@\d+)?|rouge_?([12l]|lsum)"
)


@dataclass(frozen=True)
class Card:
    """What a report must know of a task without importing it.

    `metrics` are the keys of `Task.score`, the primary one first: a name, or a `Metric` that says how it is read. A
    name that the field knows is read as the field does (an error rate: less is better); any other is assumed to be a
    fraction of which more is better, and listed in `assumed`. `scales` and `assumed` are made of `metrics`.
    `labels` are the classes, or the tags. `split` says in one sentence how train, validation and test came to be,
    `size` how many examples they hold ("8,530 / 1,066 / 1,066"). `offline` is True where a package carries the data.
    """

    name: str
    title: str
    kind: Kind
    metrics: tuple[str | Metric, ...]
    summary: str
    split: str
    licence: str
    citation: str
    bibtex: str
    labels: tuple[str, ...] = ()
    size: str = ""
    offline: bool = False
    # Of a card that another was made of, by dataclasses.replace, what the other knew.
    scales: dict[str, Metric] = field(default_factory=dict, repr=False)
    assumed: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Afterwards `metrics` holds names alone, and `scales` how each of them is read."""
        scales, assumed = {}, []
        for given in self.metrics:
            if isinstance(given, str):
                known = self.scales.keys() - self.assumed
                if given not in known and given not in _OTHERS and not _FRACTIONS.fullmatch(given):
                    assumed.append(given)
                given = self.scales.get(given) or _OTHERS.get(given, Metric(given))
            scales[given.name] = given
        for name, value in (("metrics", tuple(scales)), ("scales", scales), ("assumed", tuple(assumed))):
            object.__setattr__(self, name, value)

    @property
    def primary(self) -> Metric:
        return next(iter(self.scales.values()))


class TaskOptions(BaseModel):
    """What a suite may set of a task, beside the budget: nothing, unless the task has options of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(ABC):
    """Base class of all tasks. Raise `revision` whenever data, split, prompt or score change: it is part of a
    cell's identity. A task whose card depends on its options sets `card` when it is made."""

    card: Card
    revision: ClassVar[int | str] = 1
    Options: ClassVar[type[TaskOptions]] = TaskOptions

    def __init__(self, options: TaskOptions | None = None) -> None:
        self.options = options or self.Options()

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def kind(self) -> Kind:
        return self.card.kind

    @property
    def members(self) -> tuple[str, ...]:
        """The tasks that this one is a mixture of; itself, where it is none."""
        return (self.name,)

    @abstractmethod
    def load(self) -> DatasetDict:
        """The whole of the data as splits `train`, `validation` and `test`, the same at every call.

        Columns by kind; sampling down to a budget is the engine's work, so that it is done alike for every method.

        - classification: `text` (str), optionally `text_pair` (str), `label` (int, an index into `card.labels`)
        - regression: the same with `label` (float)
        - tagging: `words` (list of str), `label` (list of int, an index into `card.labels` for every word)
        - multiple choice: `text`, `choices` (list of str), `label` (int, an index into the row's choices)
        - extractive QA: `text` (the question), `text_pair` (the passage), `answers` (list of str) and
          `starts` (list of int, the answers' first characters in the passage; the first answer is trained on)
        - generation: `text`, `targets` (list of str; the first is trained on)
        - language modelling: `text`

        Raises TaskUnavailable where the data cannot be had.
        """

    def commits(self) -> dict[str, str]:
        """The commit of every repository that the loaded data came from, by the repository's id."""
        return {}

    def dropped(self) -> dict[str, int]:
        """How many rows of the raw data are not in any split, by reason; known once the task has loaded."""
        return {}

    def notes(self) -> list[str]:
        """What a user should see before the run of how the data was understood, a line each; a line that begins with
        `warning:` may be a mistake of theirs."""
        return []

    @abstractmethod
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        """Every metric of the card, from predictions and references of equal length, by kind:

        - classification and multiple choice: indices; regression: numbers
        - tagging: lists of indices, one for each word
        - extractive QA and generation: a text, and the list of texts that count as right
        - language modelling: each text's log-likelihood in nats, and its (tokens, bytes)
        """

    def prompt(self, row: Mapping[str, Any]) -> str:
        """What a generating backbone is asked, from a row's columns (`text` may have been cut to the budget). By
        default the text, the pair after it and, of a classification, the question for one of its verbalisers."""
        parts = [row["text"]] + ([row["text_pair"]] if row.get("text_pair") else [])
        if self.kind == "classification":
            parts.append(f"Which of these fits: {', '.join(self.verbalisers())}?")
        return "\n".join(parts)

    def verbalisers(self) -> tuple[str, ...]:
        """How a generating backbone says each label of a classification: with spaces for underscores, unless two labels
        differ in that alone."""
        said = tuple(label.replace("_", " ") for label in self.card.labels)
        return said if len(set(said)) == len(said) else self.card.labels
