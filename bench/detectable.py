"""The difference that seeds and examples can detect, and the spreads that it stands on.

Two configurations with the same seeds and the same test examples differ by d[s, i] on seed s and example i. With both
taken as samples, the mean of S seeds and n examples varies by σ²_seed / S + σ²_example / n + σ²_residual / (S n)
(two crossed random effects, one observation a cell; Searle, Casella & McCulloch, 1992). Imports no torch.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from scipy import optimize, special

from records import predictions
from records.cards import Cards
from records.record import Record
from records.store import BrokenRecord, RecordStore

POWER, LEVEL = 0.8, 0.05
# Pairs that are read of a task: more tell little more of its spreads, and each is a file.
MOST_PAIRS = 12

# The middles of so many equally likely parts of a distribution.
_QUANTILES = (np.arange(4000) + 0.5) / 4000
_TYPICAL = Path(__file__).with_name("typical.toml")


@dataclass(frozen=True)
class Spreads:
    """Variance components of the difference of two configurations, in the metric's own unit, squared; `source` says in
    words where they come from, `of` which metric they are of."""

    seed: float
    example: float
    residual: float
    source: str
    of: str = "accuracy"


@cache
def typical() -> Spreads:
    """What is assumed where nothing was run yet."""
    said = tomllib.loads(_TYPICAL.read_text(encoding="utf-8"))
    disagreement, lasting = said["disagreement"]["value"], said["lasting"]["value"]
    return Spreads(
        seed=said["seed_sd"]["value"] ** 2,
        example=lasting * disagreement,
        residual=(1 - lasting) * disagreement,
        source="typical values of accuracy (bench/typical.toml), not measured here",
    )


def detectable(
    spreads: Spreads, seeds: int, examples: int, level: float = LEVEL, power: float = POWER, fixed: bool = False
) -> float:
    """The smallest true difference that a report finds with `power`, in the metric's unit: on other seeds and examples,
    or, with one seed or `fixed` ones, of these very models on other examples.

    A report's test is Banerjee's (1960): the mean differs from zero where its square exceeds Σ t² · variance over the
    parts of seeds and of examples, each with the two-sided quantile of its own degrees of freedom. It is stricter than
    a single t-test, and with seeds or examples alone the same. NaN where nothing can be said: of a single example.
    """
    if examples < 2 or seeds < 1:
        return math.nan
    alone = fixed or seeds == 1
    residual = spreads.residual / (seeds * examples)
    of_examples = spreads.example / examples + (residual if alone else 0)
    of_seeds = 0.0 if alone else spreads.seed / seeds + residual
    if not (total := math.sqrt(of_seeds + of_examples)):
        return 0.0
    # Of its examples a run knows the variance well, of its seeds not: the power is the mean over what it may find.
    squared = of_examples * special.stdtrit(examples - 1, 1 - level / 2) ** 2
    if not alone:
        estimated = special.chdtri(seeds - 1, _QUANTILES) / (seeds - 1)
        squared = squared + of_seeds * estimated * special.stdtrit(seeds - 1, 1 - level / 2) ** 2
    reach = np.sqrt(squared) / total

    def lacking(true: float) -> float:
        return float(np.mean(special.ndtr(true - reach) + special.ndtr(-true - reach))) - power

    return float(total * optimize.brentq(lacking, 0, 10 + 2 * float(np.max(reach))))


def components(differences: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, examples and residual, from differences (seeds, examples), by equating mean squares with what is
    expected of them; what comes out negative is zero."""
    seeds, examples = differences.shape
    by_seed, by_example = differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - by_seed[:, None] - by_example[None, :] + differences.mean()
    residual = float((rest**2).sum() / ((seeds - 1) * (examples - 1)))
    of_seeds = float(by_seed.var(ddof=1)) - residual / examples
    of_examples = float(by_example.var(ddof=1)) - residual / seeds
    return max(0.0, of_seeds), max(0.0, of_examples), residual


def measured(store: RecordStore, records: Iterable[Record], cards: Cards) -> dict[tuple[str, str], Spreads]:
    """Of the finished cells of a results folder, by backbone and task: medians over the pairs with the reference (full
    fine-tuning, else the first configuration), on the seeds that they have in common. Without predictions seeds are
    measured and examples taken to be typical; with one seed it is the other way round."""
    found: dict[tuple[str, str], dict[str, dict[int, Record]]] = {}
    for record in records:
        if record.status in ("trained", "ok"):
            cell = record.cell
            found.setdefault((cell.backbone, cell.task), {}).setdefault(cell.label, {})[cell.seed] = record
    made = {}
    for (backbone, task), labels in found.items():
        card = cards.tasks.get(task)
        # Of a fraction of which more is better the typical values are typical.
        if card is None or not card.metrics or (card.primary.low, card.primary.high) != (0.0, 1.0):
            continue
        if spreads := _measured(store, labels, card.primary.name):
            made[backbone, task] = spreads
    return made


def _measured(store: RecordStore, labels: dict[str, dict[int, Record]], metric: str) -> Spreads | None:
    reference = next((name for name, runs in labels.items() if _method(runs) == "full"), next(iter(labels)))
    pairs = []
    for label, runs in labels.items():
        common = sorted(runs.keys() & labels[reference].keys())
        if label != reference and common:
            pairs.append([(runs[seed], labels[reference][seed]) for seed in common])
    if not pairs:
        return None
    exact = [made for pair in pairs[:MOST_PAIRS] if (made := _from_predictions(store, pair, metric))]
    if exact:
        seed, example, residual = (median(values) for values in zip(*exact, strict=True))
        said = f"{len(exact)} pairs of configurations in {store.root}, example by example"
        said += "; seeds: typical values" if all(len(pair) == 1 for pair in pairs) else ""
        return Spreads(seed, example, residual, said, metric)
    of_seeds = [variance for pair in pairs if len(pair) > 1 and (variance := _from_scores(pair, metric)) is not None]
    if not of_seeds:
        return None
    usual = typical()
    said = f"scores of {len(of_seeds)} pairs of configurations in {store.root}; examples: typical values"
    return Spreads(median(of_seeds), usual.example, usual.residual, said, metric)


def _method(runs: dict[int, Record]) -> str:
    return next(iter(runs.values())).cell.method


def _from_predictions(
    store: RecordStore, pair: list[tuple[Record, Record]], metric: str
) -> tuple[float, float, float] | None:
    """None where one was not kept, or the metric is no mean over examples."""
    rows: list[np.ndarray] = []
    for both in pair:
        values = []
        for record in both:
            try:
                data = store.kept(record, "predictions.parquet")
                outcome = None if data is None else predictions.outcome(data, metric)
            except (BrokenRecord, predictions.UnusablePredictions):
                outcome = None
            if outcome is None or outcome.scores is None:
                return None
            values.append(outcome.scores[np.argsort(outcome.examples)])
        if values[0].shape != values[1].shape or (rows and rows[0].shape != values[0].shape):
            return None
        rows.append(values[0] - values[1])
    made = np.array(rows)
    if made.shape[1] < 2 or not np.isfinite(made).all():
        return None
    if len(rows) == 1:  # what differs from seed to seed does not show: split as is typical
        usual, variance = typical(), float(made.var(ddof=1))
        lasting = usual.example / (usual.example + usual.residual)
        return usual.seed, lasting * variance, (1 - lasting) * variance
    seed, example, residual = components(made)
    return seed / _typical_share(len(rows)), example, residual


def _from_scores(pair: list[tuple[Record, Record]], metric: str) -> float | None:
    """The seeds' variance, what the typical residual over the test examples accounts for taken off."""
    found = np.array([[record.test.get(metric, math.nan) for record in both] for both in pair])
    differences = found[:, 0] - found[:, 1]
    sizes = [record.data.test for both in pair for record in both if record.data]
    examples = min((size for size in sizes if size is not None), default=0)
    if not np.isfinite(differences).all() or not examples:
        return None
    variance = float(differences.var(ddof=1)) / _typical_share(len(pair))
    return max(0.0, variance - typical().residual / examples)


def _typical_share(seeds: int) -> float:
    """The median of a variance from so many seeds, over the true one: below one, as the distribution is skewed."""
    return float(special.chdtri(seeds - 1, 0.5)) / (seeds - 1)
