from __future__ import annotations

import pytest

from console.charts import Chart, Column, Part, rounded_up


def chart(*values: tuple[float, float]) -> Chart:
    columns = [
        Column(f"hour {n}", [Part("well", "green", good), Part("failed", "red", bad)], f"/rows/{n}")
        for n, (good, bad) in enumerate(values)
    ]
    return Chart("c", "Calls", "1", "", columns)


def test_columns_stand_on_the_ground_and_below_the_top() -> None:
    made = chart((10, 30), (0, 0), (8, 0))
    assert made.top == 50
    (low, high), nothing, (alone,) = (drawn.shapes for drawn in made.drawn)
    assert (low.y, low.height, low.tone) == ("80.00", "20.00", "green")
    assert (high.y, high.height, high.tone) == ("20.00", "60.00", "red")
    assert nothing == []
    assert float(alone.y) + float(alone.height) == 100


def test_the_smallest_value_is_seen() -> None:
    assert float(chart((1, 0), (100_000, 0)).drawn[0].shapes[0].height) > 0.5


def test_what_a_column_says() -> None:
    assert chart((1200, 3)).columns[0].says == "hour 0: 1,200 well, 3 failed"


def test_a_table_shows_what_is_there_newest_first() -> None:
    assert [column.label for column in chart((1, 0), (0, 0), (2, 0)).filled] == ["hour 2", "hour 0"]
    assert not chart((0, 0)).has_values


@pytest.mark.parametrize(("value", "top"), [(0.0007, 0.001), (3, 5), (5, 5), (51, 100), (120_000, 200_000)])
def test_round_tops(value: float, top: float) -> None:
    assert rounded_up(value) == pytest.approx(top)
