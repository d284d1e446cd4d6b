"""The names of functions, as people and the service see them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from compute_executor.functions.names import LONGEST, function_name


class Model:
    def run(self) -> None: ...

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "len"),
        (Model, "Model"),
        (Model().run, "Model.run"),
        (Model(), "Model"),
        (functools.partial(functools.partial(Model().run), 1), "Model.run"),
        (7, "int"),
    ],
)
def test_what_is_called(function: Any, name: str) -> None:
    assert function_name(function) == name


def test_a_name_can_always_travel() -> None:
    def function() -> None: ...

    function.__qualname__ = "a\ud800"
    assert function_name(function) == "a\\ud800"
    function.__qualname__ = "a" * 2 * LONGEST
    assert function_name(function) == "a" * LONGEST
    odd: Any = Model()
    odd.__qualname__ = 5
    assert function_name(odd) == "Model"
