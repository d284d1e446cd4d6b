from __future__ import annotations

import pytest

from compute_executor.cli.summary import Best, count, numeric_column, one_line, short
from compute_executor.cli.wrong_input import WrongInput

TABLE = [
    {"x": "1", "cost": "5", "name": "a"},
    {"x": "2", "cost": "", "name": "b"},
    {"x": "3", "cost": "2.123456789", "name": "c"},
    {"x": "4", "cost": "nan", "name": "d"},
    {"x": "5", "cost": "9", "name": "e"},
]


def test_the_row_with_the_least_or_greatest_number() -> None:
    least = Best("cost", greatest=False)
    row = least.of(TABLE)
    assert row == TABLE[2]
    assert least.sentence(row, ["x", "name"]) == "least cost 2.1235 at x = 3, name = c"
    assert Best("cost", greatest=True).of(TABLE) == TABLE[4]


def test_no_number_no_best_row() -> None:
    assert Best("name", greatest=False).of(TABLE) is None


def test_the_column_to_draw_is_the_one_wanted_or_the_first_with_numbers() -> None:
    assert numeric_column(["name", "cost"], None, TABLE) == "cost"
    assert numeric_column(["name", "x", "cost"], "cost", TABLE) == "cost"


@pytest.mark.parametrize(
    ("columns", "wanted", "says"),
    [
        (["name", "cost"], "costs", "no result is called 'costs'; the results are: name, cost"),
        (["name"], "name", "no numbers under name"),
        (["name"], None, "no numbers under name"),
        ([], None, "no numbers under any column; there is no result"),
    ],
)
def test_a_column_that_cannot_be_drawn_is_refused(columns: list[str], wanted: str | None, says: str) -> None:
    with pytest.raises(WrongInput, match=says):
        numeric_column(columns, wanted, TABLE)


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert one_line("a\nb\x1b[31mc\r") == "a b [31mc "
    assert one_line("x" * 300) == "x" * 199 + "…"


def test_numbers_are_shortened_words_and_ints_not() -> None:
    assert [short("1.23456789"), short("123456789"), short("1e-9"), short("east")] == [
        "1.2346",
        "123456789",
        "1e-09",
        "east",
    ]


def test_counts_are_words() -> None:
    assert (count(1, "task"), count(2000, "task")) == ("1 task", "2,000 tasks")
