"""Errors name the part at fault: of a function, of an argument, of a call that cannot be read."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

from compute_executor.errors import ResultDecodeError, SerializationError
from compute_executor.serialization import blame, native
from tests.serialization.conftest import Script


class Unreadable:
    def __init__(self) -> None:
        self.content = [1, (2, 3)]

    def __setstate__(self, state: Any) -> None:
        raise ValueError("never")


class Exits:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


def test_a_global_at_fault_is_named_with_the_way_to_it(script: Script) -> None:
    script.run(
        "REGISTRY = {'x': (n for n in 'ab')}\ndef helper(): return REGISTRY\ndef run(): return helper()\n"
    )
    with pytest.raises(
        SerializationError, match=r"`generator` in global `REGISTRY` \(\['x'\]\) of `helper`, used by `run`"
    ):
        native.dumps(script.names["run"])


def test_a_global_whose_reduce_ends_the_interpreter_is_named(script: Script) -> None:
    script.run(
        "import sys\nclass Exits:\n def __reduce__(self): sys.exit(5)\nbad = Exits()\ndef helper(): return bad\n"
        "def run(): return helper()\ndef other(): return eval('1 + 1')\n"
    )
    with pytest.raises(
        SerializationError, match=r"Exits` in global `bad` of `helper`, used by `run`: SystemExit"
    ):
        native.dumps(script.names["run"])
    assert script.call("other") == 2


LOCK = threading.Lock()


def closure(lock: Any) -> Any:
    return lambda: lock


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ({"a": [1, LOCK]}, r"in \['a'\]\[1\]"),
        (lambda lock=LOCK: lock, "in default 0"),
        (functools.partial(print, 1, end=LOCK), "in argument 'end' of the partial"),
        (type("C", (), {"lock": LOCK}), "in attribute `lock`"),
        (closure(LOCK), "in variable `lock`"),
    ],
)
def test_the_way_to_a_part(value: Any, way: str) -> None:
    with pytest.raises(SerializationError, match=rf"`_thread.lock` {way}: TypeError: cannot pickle"):
        native.dumps(value)


def test_leaving_while_an_argument_is_pickled_is_that_argument_s_error() -> None:
    for dump in (native.dumps, lambda obj: native.dumps_call((obj,), {})):
        with pytest.raises(SerializationError, match="SystemExit: 3"):
            dump(Exits())


def test_the_number_of_an_argument_is_the_caller_s() -> None:
    with pytest.raises(SerializationError, match=r"^argument 1: "):
        native.dump_call((len, 0, LOCK), {}, True)
    with pytest.raises(SerializationError, match=r"^the function: "):
        native.dump_call((LOCK, 0), {}, True)
    with pytest.raises(SerializationError, match=r"^argument 'key': "):
        native.dump_call((0,), {"key": LOCK})


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("kwargs", [{}, {"a": 1}])
def test_an_argument_that_cannot_be_read_is_named(count: int, kwargs: dict[str, int]) -> None:
    args = ([1, [2, (3,)]], {"a": {4}}, "text", pickle.PickleBuffer(b"b"), 1.5)[:count]
    payload = native.dumps_call((*args, Unreadable(), None), kwargs)
    with pytest.raises(ResultDecodeError, match=rf"^argument {count}, in the worker: .*never"):
        native.loads_call(payload)


def test_what_is_no_stream_of_arguments_names_none() -> None:
    for stream in (b"", b"\x80\x05K\x01.", b"junk"):
        assert blame.unreadable(stream, pickle.loads) is None
    assert blame.unreadable(pickle.dumps((1, 2)), pickle.loads) is None


def test_a_lock_that_is_a_global_is_refused_as_an_argument() -> None:
    """Made anew in a worker it would lock nobody else out."""
    program = (
        "import threading\n"
        "from compute_executor.serialization import native\n"
        "for lock in (threading.Lock(), threading.RLock()):\n"
        "    try:\n        native.dumps_call((1, lock), {})\n"
        "    except TypeError as error:\n        print(error)\n"
        "    else:\n        print('sent')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [line[:11] for line in done.stdout.splitlines()] == ["argument 1:", "argument 1:"]


def test_of_a_long_way_the_ends_are_shown(script: Script) -> None:
    script.run("chain = []\ninner = chain\nfor _ in range(20):\n inner.append([])\n inner = inner[0]\n")
    script.run("inner.append(n for n in 'ab')\ndel inner\ndef use(): return chain\n")
    with pytest.raises(SerializationError) as caught:
        script.call("use")
    assert "in global `chain` ([0][0][0][0][0] ... (14 more) ...[0][0]) of `use`" in str(caught.value)
