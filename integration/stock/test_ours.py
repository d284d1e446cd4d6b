"""Our Executor on our service, with an unmodified stock endpoint behind it. What kills it: test_faults."""

from __future__ import annotations

from typing import Any

import pytest

from integration.stock.conftest import Runs

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def found(runs: Runs) -> dict[str, Any]:
    return runs.found("ours")


def test_a_thousand_by_map_and_by_submit(found: dict[str, Any]) -> None:
    assert found["mapped"] is True
    assert found["submitted"] == sum(number * number for number in range(1000))


def test_an_exception_is_itself(found: dict[str, Any]) -> None:
    """Type, args and where it came from; the text has the traceback there, with its cause."""
    exception = found["exception"]
    assert exception["args"] == ["no such key", 7]
    assert exception["chain"] == ["RemoteTraceback"]
    assert "ValueError: invalid literal for int() with base 10: 'seven'" in exception["text"]
    assert "The above exception was the direct cause" in exception["text"]
    assert "raise KeyError(key, 7) from error" in exception["text"]


def test_what_was_not_sent_is_cancelled(found: dict[str, Any]) -> None:
    assert found["cancelled"] == {"cancelled": True, "raises": True, "other": 4, "ran": False}


def test_an_exception_is_not_retried(found: dict[str, Any]) -> None:
    assert found["retried"] == ["KeyError", 1]
