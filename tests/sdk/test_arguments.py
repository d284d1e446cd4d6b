"""Arguments in a sequence and a mapping, and what is none."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sdk.arguments import named, positional


def test_what_is_passed() -> None:
    assert positional(None) == positional([]) == ()
    assert positional([1, 2]) == positional((1, 2)) == positional(range(1, 3)) == (1, 2)
    assert positional(["ab"]) == ("ab",)
    assert named(None) == named({}) == {}
    assert named({"a": 1}) == named(MappingProxyType({"a": 1})) == {"a": 1}


@pytest.mark.parametrize("args", ["ab", b"ab", 5, 0, {1, 2}, {"a": 1}, deque([1]).__iter__(), object()])
def test_no_sequence(args: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"not {type(args).__name__}: "):
        positional(args)


@pytest.mark.parametrize("kwargs", [5, 0, "ab", [("a", 1)], {1: 2}, {"a": 1, None: 2}])
def test_no_mapping_from_names(kwargs: Any) -> None:
    wrong = next(key for key in kwargs if not isinstance(key, str)) if isinstance(kwargs, dict) else kwargs
    with pytest.raises(InvalidRequest, match=f"not {type(wrong).__name__}: "):
        named(kwargs)


def test_what_is_shown_of_it_is_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        positional("x" * 10_000)
    assert len(str(caught.value)) < 200
