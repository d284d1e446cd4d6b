"""Buffer methods: every one writes what it reads, and reads what stock peers write."""

from __future__ import annotations

import codecs
import pickle
import subprocess
import sys
import traceback
from typing import Any

import dill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest, ResultDecodeError, SerializationError
from compute_executor.serialization import packing, strategies

WRITTEN = [name for name, method in strategies.METHODS.items() if method.dumps]
CODE = [name for name in WRITTEN if strategies.METHODS[name].for_code]


def triple(x: int) -> int:
    return 3 * x


def fail() -> None:
    raise LookupError("from source")


def base64_of(stream: bytes) -> str:
    return codecs.encode(stream, "base64").decode()


@pytest.mark.parametrize("method", CODE)
def test_a_function_comes_back_by_every_code_method(method: str) -> None:
    buffer = strategies.dumps(triple, method)
    assert buffer.startswith(f"{method}\n")
    assert strategies.loads(buffer)(14) == 42


@pytest.mark.parametrize("method", ["00", "11", "13"])
def test_data_comes_back_by_every_data_method(method: str) -> None:
    assert strategies.loads(strategies.dumps([1, "ä", None], method)) == [1, "ä", None]


def test_the_defaults_are_dill() -> None:
    assert strategies.dumps(triple).startswith("01\n")
    assert strategies.dumps(None) == "00\ngAROLg==\n"


def test_the_default_buffer_is_what_a_stock_peer_makes() -> None:
    value = {"a": b"x" * 200}
    assert strategies.dumps(value) == "00\n" + base64_of(dill.dumps(value))


@given(st.lists(st.integers() | st.text()), st.dictionaries(st.text(), st.floats(allow_nan=False)))
def test_a_call_comes_back(args: list[Any], kwargs: dict[str, float]) -> None:
    assert strategies.loads_call(strategies.dumps_call(args, kwargs)) == (tuple(args), kwargs)


def test_a_packed_function_comes_back() -> None:
    (buffer,) = packing.unpack(strategies.dumps_function(triple))
    assert strategies.loads(buffer)(1) == 3


def test_deprecated_pickle_is_only_read() -> None:
    assert strategies.loads("02\n" + base64_of(pickle.dumps(len))) is len
    with pytest.raises(InvalidRequest, match="only read"):
        strategies.dumps(len, "02")


def test_json_that_cannot_be_falls_back_to_dill_in_the_combined_method() -> None:
    buffer = strategies.dumps({1, 2}, "13")
    assert strategies.loads(buffer) == {1, 2}


def test_the_combined_code_method_serves_functions_without_source() -> None:
    namespace: dict[str, Any] = {}
    exec("def made(x): return x + 1", namespace)
    assert strategies.loads(strategies.dumps(namespace["made"], "12"))(1) == 2
    assert strategies.loads(strategies.dumps(namespace["made"], "10"))(1) == 2


@pytest.mark.parametrize("method", ["10", "12", "13"])
def test_what_no_attempt_can_write_is_named(method: str) -> None:
    with pytest.raises(SerializationError, match=f"method {method}"):
        strategies.dumps((i for i in range(3)), method)


def test_a_traceback_through_source_shows_the_line() -> None:
    function = strategies.loads(strategies.dumps(fail, "st"))
    with pytest.raises(LookupError) as caught:
        function()
    assert 'raise LookupError("from source")' in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "buffer",
    ["", "00", "zz\nabc", "00x", "00\n!!", "11\n{", "12\n", "13\n4\n11\n{", "10\nzz:a", "st\nf:x=1"],
)
def test_what_cannot_be_read_is_named(buffer: str) -> None:
    with pytest.raises(ResultDecodeError):
        strategies.loads(buffer)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no buffer method"):
        strategies.dumps(1, "99")


def test_importing_does_not_import_dill() -> None:
    code = "import sys, compute_executor.serialization.strategies; sys.exit('dill' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
