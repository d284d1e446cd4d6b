"""What a task raised, in each of the forms in which that comes back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.errors import TaskExecutionFailed
from compute_executor.serialization import exceptions
from compute_executor.serialization.raised import of_text, raised


def test_our_own_encoding_comes_back_as_itself() -> None:
    error = raised(exceptions.encode(KeyError("k")), "t")
    assert type(error) is KeyError
    assert error.args == ("k",)


def test_the_text_of_a_traceback_is_told_by_name_and_message() -> None:
    text = "Traceback (most recent call last):\n  ...\nValueError: 5\nin two lines\n"
    for error in (raised(text.encode(), "abc"), of_text(text, "abc")):
        assert isinstance(error, TaskExecutionFailed)
        assert str(error).startswith("task abc failed: ValueError: 5\nin two lines")
        assert error.remote_traceback == text
        assert error.task_id == "abc"
    assert str(of_text(text)).startswith("the task failed")


@settings(deadline=None)
@given(st.binary(max_size=100).filter(lambda body: body[:1] != b"\x80"))
def test_any_other_bytes_are_text(body: bytes) -> None:
    error = raised(memoryview(body))
    assert isinstance(error, TaskExecutionFailed)
    assert error.remote_traceback == body.decode("utf-8", "backslashreplace")
