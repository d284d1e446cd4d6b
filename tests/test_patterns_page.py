"""The table of patterns in docs/coming-from.md: it is what was recorded, and what is said of ours holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from integration.patterns import records
from integration.patterns.rows import SECTIONS, Row
from integration.patterns.running import COLUMNS, RIGHT, outcome

ROWS = [row for section in SECTIONS for row in section.rows]


def test_the_page_shows_the_records_of_every_row() -> None:
    found = records.load()
    assert list(found["rows"]) == [row.name for row in ROWS]
    assert len(ROWS) >= 40
    assert records.shown() == records.table(found)


def test_ours_is_right_wherever_another_is() -> None:
    assert COLUMNS[-1] == "ours"
    short = [
        name for name, row in records.load()["rows"].items() if RIGHT in row.values() and row["ours"] != RIGHT
    ]
    assert short == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.since <= sys.version_info[:2]], ids=lambda row: row.name
)
def test_a_script_is_right_with_ours(row: Row, tmp_path: Path) -> None:
    assert outcome(row, "ours", Path(sys.executable), tmp_path) == RIGHT
