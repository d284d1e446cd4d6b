"""What makes a function too large is named, with its size."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.errors import PayloadTooLarge
from compute_executor.functions import codecs
from compute_executor.functions.largest import check_size, largest


def _made(source: str, **names: Any) -> Any:
    exec(source, names)
    return names["f"]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (_made("def f(): return SMALL, DATA", SMALL=b"x", DATA=bytes(5_000)), "global `DATA`"),
        (_made("def f(): return TABLE", TABLE={n: n for n in range(2_000)}), "global `TABLE`"),
        (_made("def g(): return DATA\ndef f(): return g()", DATA=bytearray(5_000)), "global `DATA` of `g`"),
        (_made("def h():\n  a = bytes(5_000)\n  return lambda: a\nf = h()"), "variable `a`"),
        (_made("def f(a, b=bytes(5_000)): return b"), "default of `b`"),
        (_made("def f(*, c=bytes(5_000)): return c"), "default of `c`"),
    ],
)
def test_the_largest_value_is_named(function: Any, what: str) -> None:
    found = largest(function)
    assert found is not None
    assert found.what == what
    assert 5_000 <= found.size < 12_000
    check_size(function, 10, 10)
    with pytest.raises(
        PayloadTooLarge, match=rf"takes along 11 bytes, most of them {what} with .*takes 10\."
    ):
        check_size(function, 11, 10)


def test_what_has_no_values_has_none_to_name() -> None:
    assert largest(len) is None
    with pytest.raises(PayloadTooLarge, match=r"function len takes along 11 bytes; "):
        check_size(len, 11, 10)


def test_functions_for_globus_compute_are_checked_before_they_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codecs, "MOST_FOR_STOCK", 20_000)
    codec = codecs.globus_codec()
    large = _made("def f(x): return DATA", DATA=bytes(30_000))
    for refused in (codec.registry.route, codec.registry.each_of, codec.dump_function):
        with pytest.raises(PayloadTooLarge, match="global `DATA` with 30,000 bytes"):
            refused(large)
    codec.registry.route(_made("def f(x): return x"))
