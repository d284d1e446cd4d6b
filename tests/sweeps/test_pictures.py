"""Kinds of pictures by what varies, and files of each. How they look was looked at."""

from __future__ import annotations

import datetime
import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.pictures import check, draw_records
from compute_executor.sweeps.pictures.content import PictureContent
from compute_executor.sweeps.pictures.scale import Scale


def grid(**axes: list[Any]) -> list[dict[str, Any]]:
    rows = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [{**row, "z": float(place + 1)} for place, row in enumerate(rows)]


def samples(names: str, count: int = 60) -> list[dict[str, Any]]:
    chance = random.Random(1)
    return [{name: chance.random() for name in [*names, "z"]} for _ in range(count)]


NUMBERS = [float(n) for n in range(10)]
TABLES: dict[str, tuple[list[dict[str, Any]], list[str], dict[str, Any]]] = {
    "line": (grid(x=NUMBERS), ["x"], {}),
    "line repeated": (grid(x=NUMBERS, repeat=[1, 2, 3]), ["x"], {}),
    "line coloured": (grid(x=NUMBERS, y=[1, 2]), ["x", "y"], {"colour": "y"}),
    "line of words": (grid(x=["a", "b"], repeat=[1, 2]), ["x"], {}),
    "map": (grid(x=NUMBERS, y=NUMBERS), ["x", "y"], {"contours": ("20", "1.5x")}),
    "map of words": (grid(x=["a", "b"], y=NUMBERS), ["x", "y"], {}),
    "map of three": (grid(x=NUMBERS, y=NUMBERS, w=[1, 2]), ["x", "y", "w"], {}),
    "map chosen": (grid(x=NUMBERS, y=NUMBERS), ["x", "y"], {"x": "y", "y": "x"}),
    "points": (samples("xy"), ["x", "y"], {}),
    "multiples": (samples("xyw"), ["x", "y", "w"], {}),
    "parallel": (grid(x=[1, 2, 3], y=[1, 2, 3], w=[1, 2, 3], v=["a", "b"]), ["x", "y", "w", "v"], {}),
    "line of dates": (grid(x=[datetime.date(2026, 1, day) for day in (1, 2, 3, 4)]), ["x"], {}),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_varies_decides_on_the_kind_and_it_is_drawn(tmp_path: Path, name: str) -> None:
    table, varying, options = TABLES[name]
    chosen = {key: value for key, value in options.items() if key in ("x", "y", "colour", "facet")}
    assert PictureContent(table, "z", varying, **chosen).kind() == name.split(maxsplit=1)[0]
    draw_records(
        tmp_path / "p.png", table, varying, ["z"], units={"x": "mm"}, title="best", best=table[3], **options
    )
    assert (tmp_path / "p.png").stat().st_size > 3000


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_same_table_gives_the_same_file(tmp_path: Path, ending: str) -> None:
    table, varying, _ = TABLES["map"]
    for name in ("a", "b"):
        draw_records(tmp_path / f"{name}.{ending}", table, varying)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_rows_that_failed_and_odd_numbers_are_left_out(tmp_path: Path) -> None:
    table = [
        *grid(x=NUMBERS),
        {"x": 11.0, "error": "no"},
        {"x": 12.0, "z": math.nan},
        {"x": 13.0, "z": math.inf},
    ]
    draw_records(tmp_path / "p.png", table, ["x"])


def test_labels_have_units() -> None:
    assert PictureContent([], "z", ["x"], units={"x": "1/day"}).label("x") == "x (1/day)"


def test_cells_end_half_way_to_the_next_also_on_a_logarithmic_axis() -> None:
    assert Scale([0, 1, 3]).edges() == [-0.5, 0.5, 2.0, 4.0]
    assert Scale([1, 10, 100, 1000]).edges() == pytest.approx([10 ** (n - 0.5) for n in range(5)])
    assert Scale(["a", "b"]).edges() == [-0.5, 0.5, 1.5]
    assert Scale([5]).edges() == [4.5, 5.5]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"column": "w"}, "no result is called 'w'"),
        ({"x": "w"}, "--x: no column is called 'w'"),
        ({"facet": "w"}, "--facet: no column is called 'w'"),
        ({"contours": ("much",), "y": "y"}, "--contour much: write a number"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        draw_records(tmp_path / "p.png", TABLES["map"][0], ["x", "y"], **options)
    assert not list(tmp_path.iterdir())


def test_where_it_cannot_be_written_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="must end in one of"):
        check(tmp_path / "p.doc", ["x"])
    with pytest.raises(InvalidRequest, match="there is no folder"):
        check(tmp_path / "absent" / "p.png", ["x"])
    with pytest.raises(InvalidRequest, match="none of this sweep does"):
        check(tmp_path / "p.png", [])
