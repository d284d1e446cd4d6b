from __future__ import annotations

from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.conditions import Condition

ROW = {"a": 1, "b": 2.5, "mode": "fast", "flag": True, "none": None, "día": 3}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a < b", True),
        ("a < b < 2", False),
        ("a + b * 2 == 6", True),
        ("mode == 'fast' and not flag", False),
        ("mode in ('slow', 'fast') or a > 7", True),
        ("none is None", True),
        ("flag == true", True),
        ("sqrt(a) + abs(-b) + max(a, b) > 5", True),
        ("a % 2 == 1 if flag else false", True),
        ("día ** 2 == 9", True),
        ("-a < +b", True),
    ],
)
def test_conditions_hold_or_not(text: str, holds: bool) -> None:
    assert Condition(text).holds(ROW) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a.__class__",
        "open('x')",
        "[x for x in (1, 2)]",
        "(lambda: 1)()",
        "a[0]",
        "f'{a}'",
        "a := 3",
        "abs(x=1)",
        "b'x'",
        "",
        "a <",
        "a" + "(" * 500,
    ],
)
def test_what_is_no_safe_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--where"):
        Condition(text)


@pytest.mark.parametrize(
    "text", ["a < mode", "9**9**9 > a", "a / 0 > 1", "'x' * 1000000000 == mode", "none < 1"]
)
def test_what_cannot_be_told_names_the_values(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--where"):
        Condition(text).holds(ROW)


def test_a_name_that_is_no_parameter_is_refused_beforehand() -> None:
    condition = Condition("alpha < 1")
    with pytest.raises(InvalidRequest, match=r"'alpha' is no parameter of this sweep; did you mean alpa\?"):
        condition.check(["alpa", "b"])
    condition.check(["alpha"])


def test_an_empty_cell_has_no_value() -> None:
    row: dict[str, Any] = {}
    with pytest.raises(InvalidRequest, match="'a' has no value in a row"):
        Condition("a < 1").holds(row)
