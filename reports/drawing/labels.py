"""Placing text in figures without overlap, in display units (points: figures are made at 72 dpi)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

# A text that is further from its point (in points) has a leader line.
NEAR = 9


@dataclass(frozen=True)
class Anchor:
    """A point (display units) that wants its `text` near it, in `color`."""

    x: float
    y: float
    text: str
    color: str


def place_around(axes: Axes, anchors: Sequence[Anchor], obstacles: Sequence[Bbox], size: float) -> None:
    """Writes each text near its point: off other texts, obstacles and the border, as close as that allows.

    Greedy, then improved twice; a leader line is drawn where a text had to move away from its point, and should
    cross no other text.
    """
    if not anchors:
        return
    inside = np.array([axes.get_window_extent().extents])
    blocked = np.array([box.extents for box in obstacles]).reshape(-1, 4)
    places, costs = [], []
    for anchor in anchors:
        boxes, distances = _candidates(anchor, *text_extent(axes, anchor.text, size))
        outside = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) - _overlap(boxes, inside)
        places.append((boxes, distances))
        costs.append(distances + 4 * _overlap(boxes, blocked) + 5 * outside)
    chosen: dict[int, int] = {}
    order = sorted(range(len(anchors)), key=lambda i: _crowding(anchors, i), reverse=True)
    for _ in range(3):
        for i in order:
            others = np.array([places[j][0][chosen[j]] for j in chosen if j != i]).reshape(-1, 4)
            # Two names side by side need more than no overlap to be read apart.
            near = _overlap(places[i][0] + np.array([-4, 0, 4, 0]), others)
            crossed = _crossed(anchors[i], *places[i], others)
            chosen[i] = int(np.argmin(costs[i] + 8 * near + 40 * crossed))
    to_data = axes.transData.inverted()
    for i, anchor in enumerate(anchors):
        left, bottom, right, top = places[i][0][chosen[i]]
        if places[i][1][chosen[i]] > NEAR:
            (nearest,) = _nearest(anchor, places[i][0][chosen[i]][None])
            ends = to_data.transform([(anchor.x, anchor.y), nearest])
            axes.plot(*ends.T, color=anchor.color, linewidth=0.5, zorder=1.5, scalex=False, scaley=False)
        x, y = to_data.transform(((left + right) / 2, (bottom + top) / 2))
        # On white, above the grid and below the points.
        axes.text(
            x,
            y,
            anchor.text,
            color=anchor.color,
            fontsize=size,
            ha="center",
            va="center",
            zorder=1.2,
            clip_on=False,
            in_layout=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
        )


def _nearest(anchor: Anchor, boxes: np.ndarray) -> np.ndarray:
    """The point of each box (n × 4) that is nearest to the anchor."""
    return np.clip([anchor.x, anchor.y], boxes[:, :2], boxes[:, 2:])


def _crossed(anchor: Anchor, boxes: np.ndarray, distances: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of `others` the leader lines to the boxes cross."""
    steps = np.linspace(0, 1, 8)[:, None, None]
    own = np.array([anchor.x, anchor.y])
    line = own + steps * (_nearest(anchor, boxes) - own)  # steps × boxes × 2
    inside = (line[:, :, None] >= others[:, :2]) & (line[:, :, None] <= others[:, 2:])
    crossed: np.ndarray = inside.all(axis=3).any(axis=0).sum(axis=1) * (distances > NEAR)
    return crossed


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions in the order of `wanted`, at least `gap` apart and within [low, high] where they fit, that
    move as little as need be: neighbours that collide are centred on their common mean."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    clusters: list[list[int]] = []
    places: list[float] = []

    def start(members: list[int]) -> float:
        mean = sum(wanted[i] for i in members) / len(members)
        first = mean - gap * (len(members) - 1) / 2
        return max(low, min(first, high - gap * (len(members) - 1)))

    for i in order:
        clusters.append([i])
        places.append(start(clusters[-1]))
        while len(clusters) > 1 and places[-1] < places[-2] + gap * len(clusters[-2]):
            moved = clusters.pop()
            clusters[-1] += moved
            places.pop()
            places[-1] = start(clusters[-1])
    result = [0.0] * len(wanted)
    for members, first in zip(clusters, places, strict=True):
        for position, i in enumerate(members):
            result[i] = first + gap * position
    return result


@dataclass(frozen=True)
class End:
    """Where a line ends on the axis of scores (data units), and the `name` that it has there."""

    y: float
    name: str
    color: str


def name_ends(axes: Axes, ends: Sequence[End], first: float, last: float, size: float) -> None:
    """Names right of lines that run from `first` to `last`, in the order of their ends, each joined to its own. The
    axis ends so far right of `last` that the names fit."""
    _make_room(axes, first, last, max(text_extent(axes, end.name, size)[0] for end in ends))
    low, high = axes.get_window_extent().intervaly
    right = axes.transData.transform((last, 0))[0]
    wanted = [axes.transData.transform((last, end.y))[1] for end in ends]
    places = spread_out(wanted, size * 1.12, low + 3, high - 3)
    to_data = axes.transData.inverted()
    for end, y in zip(ends, places, strict=True):
        x_text, y_text = to_data.transform((right + 12, y))
        joint = [to_data.transform((right + away, 0))[0] for away in (3, 11)]
        axes.plot(joint, [end.y, y_text], color=end.color, linewidth=0.5, scalex=False, scaley=False)
        axes.text(x_text, y_text, end.name, color=end.color, fontsize=size, va="center", in_layout=False)


def _make_room(axes: Axes, first: float, last: float, widest: float) -> None:
    extent = max(last - first, 1)  # a single point has no extent of its own
    left = first - 0.04 * extent
    share = min((widest + 14) / axes.get_window_extent().width, 0.7)
    right = left + (last - left or extent) / (1 - share)
    axes.set_xlim(left, right)
    # Names stand on white: lines of the grid would strike them through.
    axes.axvspan(last + 0.01 * extent, right, color="white", linewidth=0, zorder=0.6)


def text_extent(axes: Axes, text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in display units."""
    artist = axes.text(0, 0, text, fontsize=size)
    box = artist.get_window_extent()
    artist.remove()
    return box.width, box.height


def _crowding(anchors: Sequence[Anchor], i: int) -> float:
    own = anchors[i]
    return sum(1 / (4 + math.hypot(own.x - a.x, own.y - a.y)) for j, a in enumerate(anchors) if j != i)


def _candidates(anchor: Anchor, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n × 4: left, bottom, right, top) around the point, and their distances from it; of boxes that
    are as good, the first is taken: near, and to the right."""
    angles = np.radians([0, 180, 90, 270, 40, 140, 320, 220, 65, 115, 295, 245])
    distances = np.repeat([4.5, 8.0, 13.0, 19.0, 26.0], angles.size)
    c, s = np.tile(np.cos(angles), 5), np.tile(np.sin(angles), 5)
    left = anchor.x + distances * c + (c - 1) * width / 2
    bottom = anchor.y + distances * s + (s - 1) * height / 2
    return np.column_stack([left, bottom, left + width, bottom + height]), distances


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of the boxes (n × 4) the area that it shares with the others (m × 4), in all."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: np.ndarray = np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1)
    return shared
