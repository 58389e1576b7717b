"""Cards: what a report must know of a method, task or backbone without importing it; and the claims of papers.

A card is a type from the plugin that makes it to the page that shows it. A manifest may come from a stranger or from
an earlier version: there, what a card lacks is left empty, and what cannot be used is one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, StrictStr, StringConstraints

from records.vocabulary import KINDS, RELATIONS, Composition, Kind, Relation, claimable, nearest

# Letters of a text, and of a bibliography.
LONGEST, LONGEST_BIBLIOGRAPHY = 20_000, 500_000
Text = Annotated[StrictStr, StringConstraints(max_length=LONGEST)]
Bibliography = Annotated[StrictStr, StringConstraints(max_length=LONGEST_BIBLIOGRAPHY)]
# Of a class a stranger's file may have a number or a truth value.
Label = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, bool | int | float) else value)]


@dataclass(frozen=True)
class Claim:
    """What a paper says of its method, as data, so that a report can hold it against what was measured.

    `measure` is one of `records.vocabulary.claimable()`. `comparator` is another method's name, or `backbone` for
    the pretrained model itself. `relation` is how the measure should stand to `factor` times the comparator's;
    `margin` is the tolerance, our choice where the paper gives none, or for "higher" and "lower" the least gap: a
    fraction for scores (0.01 is one point), a share of the comparator's for everything else. `text` is as we
    read the paper, `source` its key in the card's bibliography, `scope` where the paper made the claim.

    The claim holds between configurations that agree in `matched` (hyperparameters, or `adapter_parameters`
    to within a tenth). With `varies`, a hyperparameter, the comparator is the same method with the next smaller
    value of it (False is smaller than True, a list than one that has all of it and more) and all others equal,
    learning rate aside. Only tasks of kind `task_kind` count, and cells of at most `max_train_examples`, where the
    paper restricts itself so.
    `untestable` says what a test would take, where no suite can make it.

    Raises ValueError on a measure, relation, kind, margin or factor that is none.
    """

    text: Text
    source: Text
    measure: Text
    comparator: Text
    relation: Relation
    margin: FiniteFloat = 0.0
    scope: Text = ""
    factor: FiniteFloat = 1.0
    matched: tuple[Text, ...] = ()
    varies: Text = ""
    task_kind: Text = ""
    max_train_examples: int | None = None
    untestable: Text = ""

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.measure, claimable(), "measure"),
            (self.relation, RELATIONS, "relation"),
            (self.task_kind, ("", *KINDS), "task_kind"),
        ):
            if value not in known:
                near = nearest(value, known) or ";"
                raise ValueError(f"unknown {what} {value!r}{near} known: {', '.join(filter(None, known))}")
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"the margin is a number from 0, got {self.margin}")
        if not 0 < self.factor < math.inf:
            raise ValueError(f"the factor is a number above 0, got {self.factor}")


@dataclass(frozen=True)
class Range:
    """Where a search looks for a hyperparameter: from `low` to `high`, on a logarithmic scale.

    `text` says why there, as what a paper tried; `source` is that paper's key in the card's bibliography, empty where
    the choice is ours. Raises ValueError on limits that are none."""

    name: Text
    low: FiniteFloat
    high: FiniteFloat
    text: Text
    source: Text = ""

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"the range of {self.name!r} goes from a number above 0 to a higher one")

    def at(self, share: float) -> float:
        """The value at a share of the way from low to high, on the logarithmic scale, to six digits: no two machines
        round it otherwise."""
        return float(f"{self.low * (self.high / self.low) ** share:.5e}")

    def place(self, value: float) -> float:
        """The inverse of `at`."""
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class MethodCard:
    """`formula` is LaTeX without dollar signs; `summary` one plain paragraph (no mark-up); `citation` the key of an
    entry in `bibtex` (several with commas between), which holds every entry that the card and its claims cite. A
    `family` that `records.vocabulary.FAMILIES` lacks is one of its own. `search` is where `bench tune` looks for
    hyperparameters; where it is empty, around the learning rate that the suite gives. `quantised` says whether the
    method works on a backbone whose weights are quantised; None: that is not known."""

    name: Text
    title: Text
    family: Text
    composition: Composition | Text
    formula: Text
    summary: Text
    citation: Text
    bibtex: Bibliography = ""
    claims: tuple[Claim, ...] = ()
    search: tuple[Range, ...] = ()
    quantised: bool | None = None


@dataclass(frozen=True)
class Metric:
    """How a metric is to be read: which way is better, and between which values it lies (None: unbounded)."""

    name: str
    higher_is_better: bool = True
    low: FiniteFloat | None = 0.0
    high: FiniteFloat | None = 1.0

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
    r"|pass@\d+|((macro|micro|weighted)_)?(f1|precision|recall)(a|_\w+|@\d+)?|rouge_?([12l]|lsum)"
)


@dataclass(frozen=True)
class TaskCard:
    """`metrics` are the keys of a task's scores, the primary one first: a name, or a `Metric` that says how it is read.
    A name that the field knows is read as the field does (an error rate: less is better); any other is assumed to be a
    fraction of which more is better, and listed in `assumed`. `scales` and `assumed` are made of `metrics`.
    `labels` are the classes, or the tags. `split` says in one sentence how train, validation and test came to be,
    `size` how many examples they hold ("8,530 / 1,066 / 1,066"). `offline` is True where a package carries the data.
    """

    name: Text
    title: Text
    kind: Kind | Text
    metrics: tuple[Text | Metric, ...]
    summary: Text
    split: Text
    licence: Text
    citation: Text
    bibtex: Bibliography = ""
    labels: tuple[Label, ...] = ()
    size: Text = ""
    offline: bool = False
    # Of a card that another was made of, by dataclasses.replace, what the other knew.
    scales: dict[str, Metric] = field(default_factory=dict, repr=False)
    assumed: tuple[Text, ...] = field(default=(), repr=False)

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
        """The metric that a checkpoint is chosen by, and that counts as the task's score."""
        return next(iter(self.scales.values()))


@dataclass(frozen=True)
class BackboneCard:
    """`parameters` is the number of the pretrained model's, without a head."""

    name: Text
    title: Text
    architecture: Text
    summary: Text
    licence: Text
    citation: Text = ""
    bibtex: Bibliography = ""
    parameters: int | FiniteFloat | None = None


def _filled(cls: type[Any]) -> BeforeValidator:
    """What a card in a file lacks, or has nothing in, is left empty."""
    required = [one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING]
    blank: dict[str, Any] = {name: () if name == "metrics" else "" for name in required}

    def fill(value: Any) -> Any:
        if value is None:
            return blank
        if not isinstance(value, Mapping):
            return value
        return blank | {name: each for name, each in value.items() if each is not None}

    return BeforeValidator(fill)


class Cards(BaseModel):
    """The cards of all that takes part in a suite, by name."""

    model_config = ConfigDict(extra="ignore")

    methods: dict[str, Annotated[MethodCard, _filled(MethodCard)]] = {}
    tasks: dict[str, Annotated[TaskCard, _filled(TaskCard)]] = {}
    backbones: dict[str, Annotated[BackboneCard, _filled(BackboneCard)]] = {}

    def __or__(self, other: Cards) -> Cards:
        """Both, and of cards of one name the other's."""
        return Cards(
            methods=self.methods | other.methods,
            tasks=self.tasks | other.tasks,
            backbones=self.backbones | other.backbones,
        )
