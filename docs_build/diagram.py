"""Boxes and arrows as inline SVG. Colors are the page's own, so one drawing serves light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import count
from math import hypot
from typing import Literal

COLUMN, ROW, WIDTH, HEIGHT = 176, 84, 132, 48  # px
_numbers = count()


@dataclass(frozen=True, slots=True)
class Box:
    """`text` may hold a line break. `kind`, how it looks, is a class of docs/assets/site.css."""

    column: float
    row: float
    text: str
    kind: Literal["step", "data", "answer", "request"] = "step"

    @property
    def center(self) -> tuple[float, float]:
        return self.column * COLUMN + COLUMN / 2, self.row * ROW + ROW / 2


@dataclass(frozen=True, slots=True)
class Arrow:
    start: str
    end: str
    text: str = ""
    dashed: bool = False  # no gradient, or no weight, passes here
    both: bool = False  # a head at either end


def svg(boxes: dict[str, Box], arrows: list[Arrow], description: str) -> str:
    """`description` is read to those who do not see the drawing."""
    name = f"d{next(_numbers)}"
    width = max(box.column + 1 for box in boxes.values()) * COLUMN
    height = max(box.row + 1 for box in boxes.values()) * ROW
    parts = [
        f'<svg class="diagram" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img"'
        f' aria-label="{escape(description)}">',
        f'<defs><marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
        '<path class="head" d="M0 0 L10 5 L0 10 z"/></marker></defs>',
        *(_arrow(boxes[arrow.start], boxes[arrow.end], arrow, name) for arrow in arrows),
        *(_box(box) for box in boxes.values()),
        "</svg>",
    ]
    return f'<div class="diagram-frame">{"".join(parts)}</div>'


def _box(box: Box) -> str:
    (x, y), lines = box.center, box.text.split("\n")
    first = y + 5 - 8 * (len(lines) - 1)
    text = "".join(f'<text x="{x:.0f}" y="{first + 16 * k:.0f}">{escape(line)}</text>' for k, line in enumerate(lines))
    frame = f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    return f'<g class="{box.kind}">{frame}{text}</g>'


def _arrow(start: Box, end: Box, arrow: Arrow, name: str) -> str:
    (x1, y1), (x2, y2) = _edge(start, end), _edge(end, start)
    heads = f'marker-end="url(#{name})"' + (f' marker-start="url(#{name})"' if arrow.both else "")
    far = abs(end.column - start.column) > 1.5
    bend = 0.0 if abs(end.column - start.column) < 0.1 else (COLUMN - WIDTH) / 2 if far else (x2 - x1) / 2
    turn = x1 + 2 * bend if far else x2  # a long arrow changes its row at once, and passes other boxes above or below
    path = f"M{x1:.0f} {y1:.0f} C{x1 + bend:.0f} {y1:.0f} {turn - bend:.0f} {y2:.0f} {turn:.0f} {y2:.0f} L{x2:.0f} {y2:.0f}"
    line = f'<path class="{"arrow dashed" if arrow.dashed else "arrow"}" d="{path}" {heads}/>'
    if not arrow.text:
        return line
    beside = 10 if bend == 0 else 0  # of a vertical arrow
    place = f'x="{(x1 + x2) / 2 + beside:.0f}" y="{(y1 + y2) / 2 - (0 if beside else 7):.0f}"'
    return line + f'<text class="{"note left" if beside else "note"}" {place}>{escape(arrow.text)}</text>'


def _edge(box: Box, other: Box) -> tuple[float, float]:
    """Where an arrow between the two leaves or meets the first: its side, or its top or bottom where they stand above each other."""
    (x, y), (x2, y2) = box.center, other.center
    if abs(box.column - other.column) > 0.1:
        return x + (WIDTH / 2 if x2 > x else -WIDTH / 2), y
    assert hypot(x2 - x, y2 - y) > 0, "two boxes at one place"
    return x, y + (HEIGHT / 2 if y2 > y else -HEIGHT / 2)
