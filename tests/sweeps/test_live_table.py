from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor.sweeps.formats.text import TextLayout
from compute_executor.sweeps.live_table import HELD, LiveTable
from compute_executor.sweeps.tabulation import TableRecord, Tabulation


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Growing:
    """A live table and what its book would have."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, Clock()
        self.rows: dict[int, TableRecord] = {}
        self.live = LiveTable(path, TextLayout(path, ["x"]), self.whole, self.clock)

    def whole(self) -> Tabulation:
        return Tabulation(["x"], lambda: [self.rows[place] for place in sorted(self.rows)])

    def add(self, *batch: tuple[int, dict[str, Any]]) -> None:
        records = [(place, TableRecord({"x": place}, results, "")) for place, results in batch]
        self.rows.update(records)
        self.live.add(records)
        self.live.flush()

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Growing]:
    growing = Growing(tmp_path / "t.csv")
    yield growing
    growing.live.abandon()


def test_rows_stand_in_the_order_of_the_sweep_whatever_order_they_end_in(table: Growing) -> None:
    table.add((1, {"a": 1}), (2, {"a": 2}))
    assert table.lines() == ["x,error"]
    table.add((0, {"a": 0}))
    assert table.lines() == ["x,a,error", "0,0,", "1,1,", "2,2,"]
    table.live.finish()
    assert table.live.in_order
    assert table.lines() == ["x,a,error", "0,0,", "1,1,", "2,2,"]


def test_a_row_that_takes_long_holds_the_others_back_for_a_moment_only(table: Growing) -> None:
    table.add((1, {"a": 1}))
    table.clock.now = 2.0
    table.add((2, {"a": 2}))
    assert table.lines() == ["x,a,error", "1,1,", "2,2,"]
    table.add((0, {"a": 0}))
    assert table.lines()[-1] == "0,0,"
    table.live.finish()
    assert table.lines() == ["x,a,error", "0,0,", "1,1,", "2,2,"]


def test_not_too_many_are_held_back(table: Growing) -> None:
    table.add(*((place, {"a": 1}) for place in range(1, HELD + 3)))
    assert len(table.lines()) == HELD + 3


def test_a_column_that_turns_up_late_is_in_every_row_and_no_row_twice(table: Growing) -> None:
    table.add((0, {"a": 0}))
    table.add((1, {"a": 1, "b": 5}), (2, {"a": 2}))
    assert table.lines() == ["x,a,b,error", "0,0,,", "1,1,5,", "2,2,,"]
    table.add((3, {"a": 3}))
    assert table.lines()[-1] == "3,3,,"
    table.live.finish()
    assert table.lines() == ["x,a,b,error", "0,0,,", "1,1,5,", "2,2,,", "3,3,,"]
