"""What a program has set in its interpreter is set in its workers."""

from __future__ import annotations

import csv
import decimal
import locale
import socket
import sys
from typing import Any

import pytest

from compute_executor import interpreter
from compute_executor.interpreter import SETTINGS

CHANGED: dict[str, Any] = {
    "recursion": 4000,
    "digits": 5000,
    "switch": 0.01,
    "decimal": (5, "ROUND_UP", -99, 99, 0, 1, ["Inexact", "Overflow"]),
    "timeout": 9.0,
    "field": 1000,
    "locale": {"LC_NUMERIC": "C.UTF-8", "LC_TIME": "C.UTF-8"},
    "stack": 1 << 20,
    "numpy": {"errors": {"divide": "raise"}, "printing": {"precision": 3}},
    "pandas": {"display.precision": 3},
    "matplotlib": {"lines.linewidth": 7.0},
}


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    for name in ("numpy", "pandas", "matplotlib"):
        pytest.importorskip(name)
    before = {name: one.get(sys.modules[one.module]) for name, one in SETTINGS.items()}
    for one in SETTINGS.values():
        one.put(sys.modules[one.module], one.fresh)
    yield
    for name, one in SETTINGS.items():
        one.put(sys.modules[one.module], before[name])


def test_a_fresh_interpreter_has_nothing_set() -> None:
    assert interpreter.observe() == {}


def test_each_setting_is_observed_and_applied() -> None:
    assert set(CHANGED) == set(SETTINGS)
    for name, value in CHANGED.items():
        interpreter.apply({name: value})
        assert interpreter.observe() == {name: value}
        interpreter.apply({name: SETTINGS[name].fresh})
    assert (csv.field_size_limit(), socket.getdefaulttimeout()) == (131072, None)
    assert locale.setlocale(locale.LC_NUMERIC) == "C"


def test_what_this_python_does_not_know_or_take_is_left() -> None:
    interpreter.apply({"unheard of": 1, "recursion": -1, "decimal": "nonsense"})
    assert interpreter.observe() == {}


def test_a_module_that_is_not_loaded_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    decimal.getcontext().prec = 3
    monkeypatch.delitem(sys.modules, "decimal")
    assert "decimal" not in interpreter.observe()
    monkeypatch.undo()
    decimal.getcontext().prec = 28
