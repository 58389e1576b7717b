"""Merged models on the way from the backbone to what training made of it, and a little beyond: θ + αΔ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reports.analysis.statistics import Summary, summarise
from reports.results import Results, select

# The share of Δ that was trained, and those back from it of which it is told what they cost and spare.
TRAINED = 1.0
BACK = (0.75, 0.5)
# Rounding makes equal means unequal in their last bits.
EQUAL = 1e-12


@dataclass(frozen=True)
class Point:
    """The model with the share `alpha` of Δ: validation `score` as it is held, its `change` from that at α = 1 (in
    pairs of seeds), and by how much the loss on general text is above that at α = 0, in nats per byte (`forgotten`;
    of no value where it was not measured)."""

    alpha: float
    score: Summary
    change: Summary
    forgotten: Summary


@dataclass(frozen=True)
class Path:
    """A configuration on a task, along its difference. `points` are in order of α, of those at which every cell has a
    score; `cells` are the ids behind all of them."""

    task: str
    label: str
    family: str
    points: tuple[Point, ...]
    cells: tuple[str, ...]

    def at(self, alpha: float) -> Point | None:
        """The point at a share; None where some cell has no score there."""
        return next((point for point in self.points if point.alpha == alpha), None)

    @property
    def trained(self) -> Point:
        """That at α = 1."""
        return next(point for point in self.points if point.alpha == TRAINED)

    @property
    def best(self) -> Point:
        """The one with the highest mean score; of equals the one nearest to what was trained."""
        highest = max(point.change.mean for point in self.points)
        among = [point for point in self.points if point.change.mean > highest - EQUAL]
        return min(among, key=lambda point: abs(point.alpha - TRAINED))

    @property
    def forgets(self) -> bool:
        """Whether it was measured that the trained model has forgotten something."""
        return self.trained.forgotten.n > 0 and self.trained.forgotten.mean > 0

    @property
    def beyond_spread(self) -> bool | None:
        """Whether the best point's change is above its own standard deviation over seeds; None with one seed."""
        change = self.best.change
        return None if change.sd is None else change.mean > change.sd


@dataclass(frozen=True)
class Bargain:
    """What going back to the share `alpha` costs and spares, as medians over `paths` of configurations that forgot
    something: the `change` of the score as it is held, and the share of what was forgotten that is `left`."""

    alpha: float
    change: float
    left: float
    paths: int
    task: str


@dataclass(frozen=True)
class Rewinding:
    """On one backbone; `seeds` is the greatest number of cells behind a path. `bargains` are over tasks whose scores
    have one meaning."""

    backbone: str
    paths: tuple[Path, ...]
    bargains: tuple[Bargain, ...]
    seeds: int

    @property
    def tasks(self) -> list[str]:
        """In the suite's order."""
        return list(dict.fromkeys(path.task for path in self.paths))

    @property
    def forgetting(self) -> bool:
        """Whether the loss on general text was measured along some path."""
        return any(path.trained.forgotten.n for path in self.paths)

    @property
    def overshot(self) -> list[Path]:
        """Best with less than was trained."""
        return [path for path in self.paths if path.best.alpha < TRAINED]

    @property
    def fell_short(self) -> list[Path]:
        """Best with more than was trained."""
        return [path for path in self.paths if path.best.alpha > TRAINED]


# Of a cell, by α: the held score, and what was forgotten (NaN where that was not measured).
_Way = dict[float, tuple[float, float]]


def rewinding(results: Results) -> list[Rewinding]:
    """One per backbone on which cells were rewound."""
    ways = {str(cell): way for cell in results.scored.index if (way := _way(results, str(cell)))}
    rewound = results.cells[results.cells.index.isin(list(ways))]
    made = []
    for backbone in results.backbones:
        by_pair = dict(list(select(rewound, backbone=backbone).groupby(["task", "label"])))
        pairs = [(task, label) for task in results.tasks for label in results.labels if (task, label) in by_pair]
        paths = tuple(
            _path(results, task, label, {str(cell): ways[str(cell)] for cell in by_pair[task, label].index})
            for task, label in pairs
        )
        if paths:
            seeds = max(len(path.cells) for path in paths)
            made.append(Rewinding(backbone, paths, tuple(_bargains(results, paths)), seeds))
    return made


def _way(results: Results, cell: str) -> _Way:
    """Empty where there is no score at α = 1 to compare with."""
    record = results.records[cell]
    task = record.cell.task
    metric, scale = results.metric_key(task), results.scale(task)
    losses = {point.alpha: point.general_loss for point in record.rewound}
    before = record.forgetting.get("before") if losses.get(0.0) is None else losses[0.0]
    way = {}
    for point in record.rewound:
        if math.isfinite(value := point.validation.get(metric, math.nan)):
            loss = point.general_loss
            way[point.alpha] = (scale.raw(value), math.nan if loss is None or before is None else loss - before)
    return way if TRAINED in way else {}


def _path(results: Results, task: str, label: str, ways: dict[str, _Way]) -> Path:
    """A mean over other seeds than its neighbour's would bend the line: what some cell lacks is left out."""
    own = list(ways.values())
    points = []
    for alpha in sorted(set.intersection(*(set(way) for way in own))):
        score = summarise([way[alpha][0] for way in own])
        change = summarise([way[alpha][0] - way[TRAINED][0] for way in own])
        points.append(Point(alpha, score, change, summarise([way[alpha][1] for way in own])))
    return Path(task, label, results.family_of(label), tuple(points), tuple(ways))


def _bargains(results: Results, paths: Sequence[Path]) -> list[Bargain]:
    forgetting = [path for path in paths if path.forgets]
    tasks = results.averaged(dict.fromkeys(path.task for path in forgetting))
    forgetting = [path for path in forgetting if path.task in tasks]
    made = []
    for alpha in BACK:
        pairs = [(path.trained, point) for path in forgetting if (point := path.at(alpha)) and point.forgotten.n]
        if pairs:
            change = median(point.change.mean for _, point in pairs)
            left = median(point.forgotten.mean / trained.forgotten.mean for trained, point in pairs)
            made.append(Bargain(alpha, change, left, len(pairs), tasks[0]))
    return made
