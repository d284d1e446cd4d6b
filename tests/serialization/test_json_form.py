"""Calls and answers as JSON: nothing that comes is unpickled, however it looks."""

from __future__ import annotations

import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import ResultDecodeError, SerializationError, TaskExecutionFailed
from compute_executor.serialization import exceptions, json_form, native, packing, strategies


class Bomb:
    """An object that must not be made."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("it was unpickled",)


def test_a_call_is_read_by_any_worker() -> None:
    body = json_form.dump_call([1, ["ä"]], {"a": {"b": None}})
    assert packing.is_text(body)
    assert strategies.loads_call(body.decode()) == ((1, ["ä"]), {"a": {"b": None}})


def test_the_argument_at_fault_is_named() -> None:
    with pytest.raises(SerializationError, match=r"argument 1\[0\] is a set"):
        json_form.dump_call([1, [{2}]], {})
    with pytest.raises(SerializationError, match="argument 'a' is a tuple"):
        json_form.dump_call([], {"a": (1,)})
    with pytest.raises(SerializationError, match="the name of a keyword argument has the lone surrogate"):
        json_form.dump_call([], {"\ud800": 1})
    with pytest.raises(SerializationError, match="argument 0 of call 1 of the chunk is a tuple"):
        json_form.checked_calls([(1,), ((2,),)])


def test_an_answer_is_written_in_the_worker() -> None:
    answer = json_form.InJson(lambda x, y: divmod(x, y))  # a tuple
    with pytest.raises(SerializationError, match="the result is a tuple"):
        answer(7, 2)
    written = json_form.InJson(pow)(2, 70)
    assert json_form.value_of(written.body) == 2**70
    assert json_form.written(written) is written
    assert json_form.call(pow, "[[2, 3], {}]") == 8


def test_of_many_calls_the_values_before_an_error_are_kept() -> None:
    values, error = json_form.value_of(json_form.EachOf(pow)([[2, 3], [0, -1], [1, 1]]).body)
    assert values == [8]
    raised = json_form.raised_in_chunk(error)
    assert (raised.remote_type, str(raised)[:18]) == ("ZeroDivisionError", "ZeroDivisionError:")
    assert "Traceback" in raised.remote_traceback
    assert json_form.value_of(json_form.EachOf(pow)([[2, 3]]).body) == [[8], None]
    values, error = json_form.value_of(json_form.EachOf(lambda: {1})([[]]).body)
    assert "the result is a set" in str(json_form.raised_in_chunk(error))


@pytest.mark.parametrize("texts", [None, 1, ["a"], ["a", "b", "c", "d"]])
def test_an_error_of_a_chunk_that_is_none_is_named(texts: Any) -> None:
    with pytest.raises(ResultDecodeError, match="three texts"):
        json_form.raised_in_chunk(texts)


def test_a_pickle_is_never_read() -> None:
    stream = native.dumps(Bomb())
    with pytest.raises(ResultDecodeError, match=f"a pickle stream of {len(stream)} bytes"):
        json_form.value_of(stream)
    for method in ("00", "13", "01", "02", "03", "10", "st"):
        body = packing.pack([f"{method}\n{packing.result_to_text(stream)[3:]}"]).encode()
        with pytest.raises(ResultDecodeError, match=f"method '{method}'"):
            json_form.value_of(body)


def test_an_exception_is_its_texts() -> None:
    try:
        raise KeyError("k\ud800")
    except KeyError as caught:
        body = exceptions.encode(caught)
    error = json_form.raised(body, "t")
    assert type(error) is TaskExecutionFailed
    assert (error.remote_type, error.task_id, str(error)) == ("KeyError", "t", "KeyError: 'k\\ud800'")
    assert isinstance(error.__cause__, exceptions.RemoteTraceback)
    text = json_form.raised(b"Traceback\n  ...\nmod.Trouble: it: broke\n")
    assert (text.remote_type, str(text)) == ("mod.Trouble", "mod.Trouble: it: broke")


def test_an_exception_of_hostile_bytes_makes_no_object() -> None:
    assert type(json_form.raised(pickle.dumps(Bomb(), 5))) is TaskExecutionFailed
    error = json_form.raised(pickle.dumps(("Name", "message", "text", Bomb()), 5))
    assert str(error) == "Name: message"


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x80" + tail))
def test_no_bytes_end_in_anything_but_a_value_or_a_decode_error(body: bytes) -> None:
    with contextlib.suppress(ResultDecodeError):
        json_form.value_of(body)
    with contextlib.suppress(ResultDecodeError):
        assert isinstance(json_form.raised(body), TaskExecutionFailed)


@given(st.text(max_size=40))
def test_no_text_buffer_does_either(text: str) -> None:
    body = packing.pack([f"11\n{text}"]).encode(errors="replace")
    with contextlib.suppress(ResultDecodeError):
        json_form.value_of(body)
