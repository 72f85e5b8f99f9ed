"""Data for charts that the template draws as SVG: columns over time, the same figures as a table, and links
to the rows. Pure.

The SVG stretches with the page: its `viewBox` is one unit wide per column and 100 high. It holds no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HIGH = 100.0
WIDE = 0.72  # of a column's place


@dataclass(frozen=True)
class Part:
    """One colour of a column; `tone` is one of the page's colour names."""

    name: str
    tone: str
    value: float
    text: str = ""

    @property
    def shown(self) -> str:
        return self.text or f"{self.value:,.0f}"


@dataclass(frozen=True)
class Column:
    label: str
    parts: Sequence[Part]
    url: str = ""

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)

    @property
    def says(self) -> str:
        return f"{self.label}: " + ", ".join(f"{part.shown} {part.name}" for part in self.parts if part.value)


@dataclass(frozen=True)
class Shape:
    x: str
    y: str
    width: str
    height: str
    tone: str


@dataclass(frozen=True)
class Drawn:
    column: Column
    place: int
    shapes: Sequence[Shape]


@dataclass(frozen=True)
class Chart:
    """`figure` is the number that sums up the chart, and `url` leads to its rows. `note` stands beside it in
    the colour `tone`, and `note_url` leads to its rows. `empty` is shown instead of a chart without
    values."""

    name: str
    title: str
    figure: str
    note: str
    columns: Sequence[Column]
    url: str = ""
    note_url: str = ""
    unit: str = ""
    empty: str = ""
    tone: str = ""

    @property
    def has_values(self) -> bool:
        return any(column.total for column in self.columns)

    @property
    def top(self) -> float:
        """The round number that the highest column stays below."""
        return rounded_up(max((column.total for column in self.columns), default=0.0))

    @property
    def top_text(self) -> str:
        return f"{self.top:,.0f}{self.unit}" if self.top >= 1 else f"{self.top:g}{self.unit}"

    @property
    def drawn(self) -> list[Drawn]:
        return [_drawn(column, place, self.top) for place, column in enumerate(self.columns)]

    @property
    def legend(self) -> list[Part]:
        return list(self.columns[0].parts) if self.columns and len(self.columns[0].parts) > 1 else []

    @property
    def filled(self) -> list[Column]:
        """The columns that a table need show, newest first."""
        return [column for column in reversed(self.columns) if column.total]


def rounded_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    power = 1e-3
    while True:
        for factor in (1, 2, 5):
            if value <= factor * power:
                return factor * power
        power *= 10


def _drawn(column: Column, place: int, top: float) -> Drawn:
    shapes, below = [], 0.0
    for part in column.parts:
        if part.value > 0:
            height = max(part.value / top * HIGH, 0.8)
            below += height
            shapes.append(_shape(place, HIGH - below, height, part.tone))
    return Drawn(column, place, shapes)


def _shape(place: int, y: float, height: float, tone: str) -> Shape:
    return Shape(f"{place + (1 - WIDE) / 2:.2f}", f"{max(y, 0):.2f}", f"{WIDE:.2f}", f"{height:.2f}", tone)
