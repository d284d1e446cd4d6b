from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.design import Design
from compute_executor.sweeps.grid import Axis
from compute_executor.sweeps.params import ParamTable


@pytest.fixture
def table(tmp_path: Path) -> ParamTable:
    path = tmp_path / "table.csv"
    path.write_text("name,size\na,1\nb,1\n")
    return ParamTable(path)


def test_every_combination_of_grids_the_last_fastest() -> None:
    design = Design(None, [Axis("x", [1, 2]), Axis("y", [3, 4, 5])])
    assert design.count == 6
    assert [tuple(row.values()) for row in design.rows()] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]


def test_every_row_of_a_table_for_every_point_of_the_grid(table: ParamTable) -> None:
    design = Design(table, [Axis("x", [1, 2])])
    assert (design.names, design.count) == (["name", "size", "x"], 4)
    assert list(design.rows())[2] == {"name": "b", "size": 1, "x": 1}


def test_a_table_alone(table: ParamTable) -> None:
    design = Design(table, [])
    assert (design.count, len(list(design.rows()))) == (2, 2)


def test_what_varies_spans_the_picture(table: ParamTable) -> None:
    assert Design(table, [Axis("x", [1]), Axis("y", [1, 2])]).varying() == ["name", "y"]


def test_nothing_to_sweep_or_a_parameter_twice_is_refused(table: ParamTable) -> None:
    with pytest.raises(InvalidRequest, match="nothing to sweep"):
        Design(None, [])
    with pytest.raises(InvalidRequest, match="'size' is given twice"):
        Design(table, [Axis("size", [1])])
    with pytest.raises(InvalidRequest, match="'x' is given twice"):
        Design(None, [Axis("x", [1]), Axis("x", [2])])


class Endless(Sequence[Any]):
    """A very long axis, of which only so many values may be asked for."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, place: Any) -> Any:
        assert place < 3, "a row needs no more than its own values"
        return place


def test_a_very_long_axis_is_gone_through_and_not_copied() -> None:
    rows = Design(None, [Axis("x", Endless()), Axis("y", [1, 2]), Axis("z", [5])]).rows()
    assert [tuple(next(rows).values()) for _ in range(3)] == [(0, 1, 5), (0, 2, 5), (1, 1, 5)]
