"""Objects to pickle streams and back, by value where they cannot be imported on the other side."""

from __future__ import annotations

import contextlib
import gc
import math
import pickle
import subprocess
import sys
import threading
import weakref
from typing import Any

import dill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import ResultDecodeError, SerializationError
from compute_executor.serialization import native

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_data_comes_back_equal(value: Any) -> None:
    assert native.loads(native.dumps(value)) == value


@given(st.lists(plain, max_size=4), st.dictionaries(st.text(), plain, max_size=4))
def test_a_call_comes_back_equal(args: list[Any], kwargs: dict[str, Any]) -> None:
    payload = native.dumps_call(tuple(args), kwargs)
    assert native.loads_call(payload) == (tuple(args), kwargs)
    assert native.loads_call(memoryview(payload)) == (tuple(args), kwargs)


def test_the_streams_of_a_call_are_split_without_reading_them() -> None:
    first, rest = native.split_call(native.dumps_call((1,), {"a": 2}))
    assert pickle.loads(first) == (1,)
    assert pickle.loads(rest) == {"a": 2}
    assert len(native.split_call(native.dumps_call((1,), {}))[1]) == 0


@pytest.mark.parametrize("payload", [b"", b"\0\0", b"\0\0\0\0", b"\0\0\0\x09short"])
def test_a_call_that_is_cut_short_is_refused(payload: bytes) -> None:
    with pytest.raises(ResultDecodeError, match=f"{len(payload)} bytes"):
        native.split_call(payload)


def test_plain_arguments_need_no_cloudpickle() -> None:
    code = (
        "import sys; from compute_executor.serialization import native\n"
        "native.loads_call(native.dumps_call((1, 'a', b'b', None, 2.5), {}))\n"
        "assert not {'cloudpickle', 'dill'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lambdas_and_closures_travel_by_value() -> None:
    offset = 3
    assert native.loads(native.dumps(lambda x: x + offset))(4) == 7


def test_functions_that_can_be_imported_travel_by_name() -> None:
    assert len(native.dumps(math.sqrt)) < 60
    assert native.loads(native.dumps(math.sqrt)) is math.sqrt


SCRIPT = """
import pickle, subprocess, sys
from compute_executor.serialization import native

def helper(x):
    return x * FACTOR

FACTOR = 5

class Point:
    def __init__(self, x): self.x = x

def work(x):
    return Point(helper(x))

if __name__ == "__main__":
    other = subprocess.run(
        [sys.executable, "-c", '''
import sys
from compute_executor.serialization import native
function, args = native.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(native.dumps(function(*args)))
'''],
        input=native.dumps((work, (2,))), stdout=subprocess.PIPE, check=True)
    result = native.loads(other.stdout)
    assert type(result) is Point, type(result)
    assert result.x == 10
"""


def test_a_script_s_function_takes_its_helpers_along_and_its_class_comes_back_as_itself(
    tmp_path: Any,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(script)], check=True)


def test_a_stream_of_dill_is_read() -> None:
    offset = 3
    stream = dill.dumps(lambda x: x + offset, recurse=True)
    assert native.loads(stream)(4) == 7
    assert native.loads(memoryview(stream))(4) == 7


def test_the_argument_at_fault_is_named(tmp_path: Any) -> None:
    with open(tmp_path / "file", "w") as file:
        with pytest.raises(SerializationError, match=r"argument 1: cannot serialise .*TextIOWrapper"):
            native.dumps_call((1, file), {})
        with pytest.raises(SerializationError, match="argument 'log'"):
            native.dumps_call((1,), {"log": file})


def test_a_refusal_keeps_nothing_of_its_caller_alive() -> None:
    class Mine:
        pass

    def refused() -> weakref.ref[Mine]:
        mine = Mine()
        with contextlib.suppress(SerializationError):
            native.dumps_call((threading.Lock(),), {})
        return weakref.ref(mine)

    gc.disable()
    try:
        assert refused()() is None
    finally:
        gc.enable()


def test_a_fault_that_no_argument_shows_alone_is_reported_all_the_same() -> None:
    class Twice:
        """Pickles at every second attempt only."""

        attempts = 0

        def __reduce__(self) -> Any:
            Twice.attempts += 1
            if Twice.attempts % 2:
                raise RuntimeError("not now")
            return int, ()

    with pytest.raises(SerializationError, match="the arguments cannot be serialised: RuntimeError: not now"):
        native.dumps_call((Twice(),), {})


def test_what_cannot_be_pickled_is_named_with_its_type() -> None:
    with pytest.raises(
        SerializationError, match=r"cannot serialise an object of type _thread\.lock: TypeError"
    ):
        native.dumps(threading.Lock())
    with pytest.raises(SerializationError, match=r"cannot serialise generator .*genexpr"):
        native.dumps(i for i in range(3))


@pytest.mark.parametrize("stream", [b"", b"nonsense", pickle.dumps("cut")[:-3], b"cno.such.module\nname\n."])
def test_bytes_that_are_no_stream_are_refused_with_their_size(stream: bytes) -> None:
    with pytest.raises(ResultDecodeError, match=f"cannot read {len(stream)} bytes"):
        native.loads(stream)


def test_what_was_written_is_not_kept() -> None:
    class Large:
        pass

    argument = Large()
    kept = weakref.ref(argument)
    gc.collect()
    gc.disable()
    try:
        native.dumps_call((argument, lambda: 1), {})
        del argument
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "value",
    [([1, 2.5, "a"], None), [b"x", "y", True], (), [[1], (2, "b")], [b"z" * 600_000, "t"], [1] * 5000],
)
def test_lists_of_plain_values_arrive_as_they_are(value: Any) -> None:
    assert native.loads(native.dumps(value)) == value


def test_a_list_that_holds_a_function_carries_it() -> None:
    (function,) = native.loads(native.dumps([lambda x: x + 1]))
    assert function(1) == 2


def test_plain_answers_of_calls_and_of_chunks_need_no_packer() -> None:
    program = (
        "import sys; from compute_executor.serialization import native; native.dump(([1, 'a', b'b'], None)); "
        "native.dump({'y': 1.5}); native.dump((3, {'y': 1, 'name': 'a'})); "
        "print('compute_executor.serialization.packer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
