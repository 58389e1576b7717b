"""Draws docs/architecture.svg from what the packages import: `make map`.

Each room stands on those that it imports from. Within a room, what is imported lies on a lower floor than whatever
imports it; an import in a circle has no place on such a map, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "docs" / "architecture.svg"

# What each room is for, its left edge and its width in pixels.
GAP, MARGIN = 44, 12
ROOMS = {
    "records": ("what running and reporting agree on", 0, 1080),
    "methods": ("change a backbone", 0, 314),
    "tasks": ("data and metrics", 358, 314),
    "bench": ("runs cells", 0, 672),
    "reports": ("turn records into documents", 716, 364),
}
LETTER, PADDING, LINE, HEAD = 7.2, 8, 30, 34
STYLE = """
text { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1c2733 }
.name { font: bold 16px system-ui, "DejaVu Sans", sans-serif }
.about { font: 13px system-ui, "DejaVu Sans", sans-serif }
.about, .note { fill: #52606d } .note { font: 11px system-ui, "DejaVu Sans", sans-serif }
.room { fill: #f4f6f8; stroke: #7b8794 } .part { fill: #fff; stroke: #b8c2cc } .floor { stroke: #cbd2d9 }
.import { stroke: #1c2733; stroke-width: 2; fill: none; marker-end: url(#head) }
"""


@dataclass
class Room:
    """A package, its parts by floor from the top, and its rectangle."""

    name: str
    floors: list[list[str]]
    left: float
    width: float
    top: float = 0
    bottom: float = 0

    def lines(self) -> list[list[list[str]]]:
        """Each floor's parts, in as many lines as they need."""
        found: list[list[list[str]]] = []
        for floor in self.floors:
            lines: list[list[str]] = [[]]
            for part in floor:
                if sum(map(_width, lines[-1])) + _width(part) > self.width - PADDING:
                    lines.append([])
                lines[-1].append(part)
            found.append(lines)
        return found

    @property
    def height(self) -> float:
        """In pixels, at the least."""
        return HEAD + sum(LINE * len(lines) + PADDING for lines in self.lines())

    def stand_on(self, ground: float) -> None:
        """The room's place, from the ground up."""
        self.bottom, self.top = ground, ground - self.height


def draw() -> str:
    """The map as SVG."""
    graph = grimp.build_graph(*ROOMS, exclude_type_checking_imports=True, cache_dir=None)
    for part in [part for room in ROOMS for part in graph.find_children(room) if graph.find_children(part)]:
        graph.squash_module(part)
    rooms = {name: Room(name, _floors(graph, name), left, width) for name, (_, left, width) in ROOMS.items()}
    _place(rooms)
    below = max(room.bottom for room in rooms.values())
    drawn = [_room(room) for room in rooms.values()] + [
        _arrow(rooms[name], rooms[other], importing)
        for name in ROOMS
        for other in ROOMS
        if name != other and (importing := _importing(graph, name, other))
    ]
    size = f"{1080 + 2 * MARGIN} {below + 2 * MARGIN:g}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-MARGIN} {size}" role="img">',
        "<title>The rooms and what they import</title>",
        f"<style>{STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        '<path d="M0 0 8 4 0 8Z"/></marker>',
        f'<rect x="{-MARGIN}" y="{-MARGIN}" width="100%" height="100%" fill="#fff"/>',
        *drawn,
        "</svg>\n",
    ])  # fmt: skip


def _parts(graph: grimp.ImportGraph, room: str) -> set[str]:
    return {part for part in graph.find_children(room) if not part.endswith(".__main__")}


def _importing(graph: grimp.ImportGraph, room: str, other: str) -> list[str]:
    """Which parts of a room import from another."""
    theirs = _parts(graph, other) | {other}
    return sorted(part for part in _parts(graph, room) if graph.find_modules_directly_imported_by(part) & theirs)


def _floors(graph: grimp.ImportGraph, room: str) -> list[list[str]]:
    """From the top: each part lies one above the highest that it imports. Raises SystemExit on a circle."""
    parts = _parts(graph, room)
    imported = {part: graph.find_modules_directly_imported_by(part) & parts - {part} for part in parts}
    level: dict[str, int] = {}
    try:
        for part in TopologicalSorter(imported).static_order():
            level[part] = 1 + max((level[other] for other in imported[part]), default=-1)
    except CycleError as error:
        raise SystemExit(f"{room}: imports in a circle: {' → '.join(error.args[1])}") from None
    return [
        sorted(part.removeprefix(f"{room}.") for part in parts if level[part] == floor)
        for floor in range(max(level.values(), default=0), -1, -1)
    ]


def _place(rooms: dict[str, Room]) -> None:
    """Whoever imports from a room stands above it; the highest wall is at 0."""
    records, methods, tasks, bench, reports = rooms.values()
    records.stand_on(0)
    for room in (methods, tasks, reports):
        room.stand_on(records.top - GAP)
    methods.top = tasks.top = min(methods.top, tasks.top)
    bench.stand_on(methods.top - GAP)
    bench.top = reports.top = roof = min(bench.top, reports.top)
    for room in rooms.values():
        room.top, room.bottom = room.top - roof, room.bottom - roof


def _width(part: str) -> float:
    return LETTER * len(part) + 3 * PADDING


def _room(room: Room) -> str:
    drawn = [
        f'<rect class="room" x="{room.left}" y="{room.top:g}" width="{room.width}" '
        f'height="{room.bottom - room.top:g}" rx="8"/>',
        f'<text class="name" x="{room.left + 12}" y="{room.top + 22:g}">{room.name} '
        f'<tspan class="about">{ROOMS[room.name][0]}</tspan></text>',
    ]
    y = room.top + HEAD
    for number, lines in enumerate(room.lines()):
        if number:
            drawn.append(f'<path class="floor" d="M{room.left} {y - PADDING / 2:g}h{room.width}"/>')
        for line in lines:
            x = room.left + PADDING
            for part in line:
                drawn.append(
                    f'<rect class="part" x="{x:g}" y="{y:g}" width="{_width(part) - PADDING:g}" height="24" rx="4"/>'
                    f'<text x="{x + PADDING:g}" y="{y + 16:g}">{part}</text>'
                )
                x += _width(part)
            y += LINE
        y += PADDING
    return "\n".join(drawn)


def _arrow(room: Room, other: Room, importing: list[str]) -> str:
    """Straight, from one wall to the other that faces it; with its only beginning, where there is but one."""
    left, right = max(room.left, other.left), min(room.left + room.width, other.left + other.width)
    note = importing[0].partition(".")[2] if len(importing) == 1 else ""
    if left < right:
        x, y, end = (left + right) / 2, room.bottom, other.top
        path, at = f"M{x:g} {y:g}V{end:g}", f'x="{x + 8:g}" y="{(y + end) / 2:g}"'
    else:
        x, y, end = room.left + room.width, room.top + HEAD, other.left
        path, at = f"M{x:g} {y:g}H{end:g}", f'x="{x + 8:g}" y="{y - 8:g}"'
    return f'<path class="import" d="{path}"/><text class="note" {at}>{note}</text>'


if __name__ == "__main__":
    MAP.write_text(draw(), encoding="utf-8")
