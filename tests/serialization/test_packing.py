"""Packing: the stock peers' text and our native form are the same thing twice."""

from __future__ import annotations

import codecs
import contextlib
import pickle
from typing import Any

import dill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest, ResultDecodeError
from compute_executor.serialization import exceptions, native, packing

CALL_OF_ONE = "28\n00\ngASVBQAAAAAAAABLAYWULg==\n12\n00\ngAR9lC4=\n"
"""Arguments (1,), {} as globus-compute-sdk 4.19.0 packs them."""


def stock_buffer(method: str, value: Any) -> str:
    """A buffer as the stock SDK makes it."""
    return f"{method}\n{codecs.encode(dill.dumps(value), 'base64').decode()}"


@given(st.lists(st.text()))
def test_unpack_undoes_pack(buffers: list[str]) -> None:
    assert packing.unpack(packing.pack(buffers)) == buffers


@pytest.mark.parametrize("broken", ["x", "3", "4\n00\n", "-1\nab", "12345678901\n", "\n00\n", "²\n00"])
def test_unpack_refuses_what_is_broken(broken: str) -> None:
    with pytest.raises(InvalidRequest):
        packing.unpack(broken)


@given(st.text())
def test_unpack_raises_nothing_but_invalid_request(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        packing.unpack(text)


def test_a_stock_call_becomes_native_and_the_same_text_again() -> None:
    body = packing.call_from_text(CALL_OF_ONE)
    assert native.loads_call(body) == ((1,), {})
    assert not packing.is_text(body)
    assert packing.call_to_text(body) == CALL_OF_ONE


@given(
    st.lists(st.integers() | st.text() | st.binary(max_size=300)), st.dictionaries(st.text(), st.integers())
)
def test_any_stock_call_survives_both_ways(args: list[Any], kwargs: dict[str, int]) -> None:
    packed = packing.pack([stock_buffer("00", tuple(args)), stock_buffer("00", kwargs)])
    body = packing.call_from_text(packed)
    assert native.loads_call(body) == (tuple(args), kwargs)
    assert packing.call_to_text(body) == packed


@given(st.lists(st.integers() | st.text()), st.dictionaries(st.text(), st.integers()))
def test_a_native_call_can_be_read_by_a_stock_endpoint(args: list[Any], kwargs: dict[str, int]) -> None:
    text = packing.call_to_text(native.dumps_call(tuple(args), kwargs))
    loaded = [dill.loads(codecs.decode(one[3:].encode(), "base64")) for one in packing.unpack(text)]
    assert loaded == [tuple(args), kwargs]


@pytest.mark.parametrize(
    "packed",
    [
        packing.pack(["11\n[1]", "11\n{}"]),
        packing.pack(["11\n[1]", stock_buffer("00", {})]),
        packing.pack(
            ["00\n" + codecs.encode(pickle.dumps((), 0), "base64").decode(), stock_buffer("00", {})]
        ),
        packing.pack(['11\n["ä"]', "11\n{}"]),
    ],
)
def test_other_methods_stay_text(packed: str) -> None:
    body = packing.call_from_text(packed)
    assert packing.is_text(body)
    assert packing.call_to_text(body) == packed


@pytest.mark.parametrize("buffers", [[], ["00\n"], ["00\n", "00\n", "00\n"], ["0", "00\n"], ["00x", "00\n"]])
def test_a_call_is_two_buffers(buffers: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        packing.call_from_text(packing.pack(buffers))


@pytest.mark.parametrize("payload", ["?", "gARO", "g", "ä"])
def test_a_call_that_is_no_base64_or_no_pickle_never_fails_otherwise(payload: str) -> None:
    packed = packing.pack([f"00\n{payload}", "00\n"])
    try:
        body = packing.call_from_text(packed)
    except InvalidRequest:
        return
    assert packing.is_text(body)


def test_a_lone_surrogate_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="no text"):
        packing.call_from_text(packing.pack(["11\n\ud800", "11\n{}"]))


def test_a_stock_function_becomes_a_stream_and_the_same_text_again() -> None:
    packed = packing.pack([stock_buffer("01", len)])
    body = packing.function_from_text(packed)
    assert native.loads(body) is len
    assert packing.function_to_text(body) == packed


def test_a_function_as_source_stays_text() -> None:
    body = packing.function_from_source("double", "def double(x):\n    return 2 * x\n")
    assert packing.is_text(body)
    assert packing.function_to_text(body) == "42\nst\ndouble:def double(x):\n    return 2 * x\n"
    assert packing.function_from_text(packing.function_to_text(body)) == body


def test_a_function_is_one_buffer() -> None:
    with pytest.raises(InvalidRequest, match="one packed buffer"):
        packing.function_from_text("")


def test_a_task_is_three_buffers() -> None:
    text = packing.task_to_text(native.dumps(len), native.dumps_call(("four",), {}))
    assert [buffer[:2] for buffer in packing.unpack(text)] == ["01", "00", "00"]


@pytest.mark.parametrize("buffer", [stock_buffer("00", {"a": 1}), "00\ngAROLg==\n", "11\n[1, 2]"])
def test_a_result_is_the_same_text_again(buffer: str) -> None:
    assert packing.result_to_text(packing.result_from_text(buffer)) == buffer


def test_a_function_as_result_is_a_stream_too() -> None:
    assert native.loads(packing.result_from_text(stock_buffer("01", len))) is len


def test_bytes_that_are_neither_form_are_named() -> None:
    with pytest.raises(ResultDecodeError, match="3 bytes"):
        packing.result_to_text(b"1\n\xff")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("message", ["", "plain", "ä" * 300, "KeyError", "x" * 70_000])
def test_the_traceback_is_read_without_unpickling(message: str) -> None:
    text = packing.exception_to_text(exceptions.encode(raised(KeyError(message))))
    assert text.startswith("Traceback (most recent call last)")
    assert "KeyError" in text


def test_a_string_that_is_the_same_object_twice_is_found_in_the_memo() -> None:
    word = "twice the very same object"
    assert packing.exception_to_text(pickle.dumps((word, word, word, None), 5)) == word


@pytest.mark.parametrize(
    "body", [b"", b"\x80\x05N.", b"garbage", b"\x80\x05\x94.", pickle.dumps(("a", "b"), 5)]
)
def test_what_is_no_exception_is_named(body: bytes) -> None:
    with pytest.raises(ResultDecodeError, match="no encoded exception"):
        packing.exception_to_text(body)


@given(st.binary(max_size=40))
def test_no_bytes_break_the_traceback_reader(body: bytes) -> None:
    with contextlib.suppress(ResultDecodeError):
        packing.exception_to_text(body)


def test_an_exception_that_came_as_text_is_read_as_one() -> None:
    body = packing.exception_from_text("ValueError", "bad", "Traceback ...")
    assert packing.exception_to_text(body) == "Traceback ..."
