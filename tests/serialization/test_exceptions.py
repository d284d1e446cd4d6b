"""Exceptions travel as themselves, and where that cannot be, as text."""

from __future__ import annotations

import builtins
import email.message
import io
import pickle
import sys
import threading
import traceback
import urllib.error
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from compute_executor.errors import NotFound, ResultDecodeError, TaskExecutionFailed
from compute_executor.functions import remote
from compute_executor.serialization import exceptions
from compute_executor.serialization.exceptions import RemoteTraceback, decode, encode


class OtherParameters(Exception):
    """Its __init__ takes other arguments than its args: pickle alone cannot rebuild it."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def the_unrebuildable() -> BaseException:
    class Unrebuildable(Exception):
        """Travels by value, which it cannot."""

        source = (number for number in (1, 2))

    return Unrebuildable("travelled")


def last_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        KeyError("k"),
        OSError(2, "no file", "/x"),
        SystemExit(3),
        KeyboardInterrupt(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(5),
    ],
)
def test_type_and_args_come_back(error: BaseException) -> None:
    back = decode(encode(raised(error)))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)


def test_the_remote_traceback_hangs_on_the_cause_as_text() -> None:
    def where_it_happened() -> NoReturn:
        raise ValueError("here")

    try:
        where_it_happened()
    except ValueError as error:
        back = decode(encode(error))
    assert isinstance(back.__cause__, RemoteTraceback)
    assert "where_it_happened" in str(back.__cause__)
    assert "where_it_happened" in "".join(traceback.format_exception(type(back), back, None))


def test_the_worker_s_own_frames_are_left_out() -> None:
    def inner() -> NoReturn:
        raise ValueError

    def worker_frame() -> None:
        inner()

    try:
        worker_frame()
    except ValueError as error:
        text = str(decode(encode(error, skip_frames=2)).__cause__)
    assert "worker_frame" not in text
    assert "in inner" in text


def test_leaving_out_more_frames_than_there_are_keeps_the_last() -> None:
    text = str(decode(encode(raised(ValueError()), skip_frames=9)).__cause__)
    assert "in raised" in text


@pytest.mark.parametrize("caller", [remote.call, remote.named("f")])
def test_a_traceback_does_not_show_what_calls_on_our_behalf(caller: Any) -> None:
    def fail() -> None:
        raise ValueError("here")

    try:
        caller(fail)
    except ValueError as error:
        text = str(decode(encode(error, skip_frames=1)).__cause__)
    assert "in fail" in text
    assert "remote.py" not in text


def test_the_chain_of_causes_is_kept_before_the_traceback() -> None:
    back = decode(encode(raised(ValueError("outer"), raised(KeyError("inner")))))
    assert type(back.__cause__) is KeyError
    assert isinstance(last_cause(back), RemoteTraceback)
    assert back.__suppress_context__


def test_the_context_is_kept() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904 - an implicit context is what is tested
    except ValueError as error:
        back = decode(encode(error))
    assert type(back.__context__) is KeyError


def test_attributes_come_back() -> None:
    error = ValueError("m")
    error.figure = 7  # type: ignore[attr-defined]  # any attribute may be set on an exception
    assert decode(encode(error)).figure == 7  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes exist from Python 3.11 on (PEP 678)")
def test_notes_come_back() -> None:
    error = ValueError("m")
    error.add_note("look here")  # type: ignore[attr-defined,unused-ignore]  # 3.11, and mypy checks for 3.10
    assert decode(encode(error)).__notes__ == ["look here"]  # type: ignore[attr-defined,unused-ignore]


def test_an_init_with_other_parameters_is_no_obstacle() -> None:
    back = decode(encode(raised(OtherParameters(5, "sea"))))
    assert type(back) is OtherParameters
    assert (back.args, back.code) == (("5 at sea",), 5)


def test_an_attribute_or_argument_that_cannot_be_pickled_is_left_out() -> None:
    error = OtherParameters(5, "sea")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    error.args = ("text", threading.Lock())
    back = decode(encode(error))
    assert type(back) is OtherParameters
    assert not hasattr(back, "lock")
    assert back.args[0] == "text"
    assert "lock" in back.args[1]


def test_one_that_cannot_be_rebuilt_is_told_as_text() -> None:
    back = decode(encode(raised(the_unrebuildable())), task_id="t-1")
    assert type(back) is TaskExecutionFailed
    assert back.task_id == "t-1"
    assert "Unrebuildable: travelled" in str(back)
    assert "Unrebuildable: travelled" in back.remote_traceback


def test_a_cause_that_cannot_be_rebuilt_costs_only_itself() -> None:
    back = decode(encode(raised(ValueError("kept"), the_unrebuildable())))
    assert type(back) is ValueError
    assert type(back.__cause__) is TaskExecutionFailed
    assert "Unrebuildable: travelled" in str(back.__cause__)


def test_an_exception_that_cannot_even_be_shown_still_arrives() -> None:
    back = decode(encode(raised(Hostile("x"))))
    assert type(back) is Hostile


def test_a_traceback_that_cannot_be_formatted_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(exceptions.traceback, "format_exception", fail)  # type: ignore[attr-defined]
    assert "cannot be formatted" in str(decode(encode(ValueError("m"))).__cause__)


def test_a_property_that_misbehaves_leaves_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(ValueError):
        __cause__ = property(lambda self: 1 / 0)

    monkeypatch.setattr(exceptions, "_format", lambda error, tb: "its text")
    back = decode(encode(Odd("m")))
    assert type(back) is TaskExecutionFailed
    assert back.remote_traceback == "its text"


def test_a_very_long_chain_is_cut() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, 200):
        error = raised(ValueError(number), error)
    back = decode(encode(error))
    length = 0
    while back.__cause__ is not None:
        length, back = length + 1, back.__cause__
    assert length <= exceptions.MAX_CHAIN + 1


def test_an_exception_whose_class_is_unknown_here_is_told_as_text() -> None:
    name, message, text, _ = pickle.loads(encode(raised(ValueError("m"))))
    foreign = pickle.dumps(
        (name, message, text, (b"cno.such\nname\n.", "no.such: m", None, None, False, None))
    )
    assert type(decode(foreign)) is TaskExecutionFailed


def test_a_stream_that_is_no_exception_is_told_as_text() -> None:
    foreign = pickle.dumps(("E", "m", "text", (pickle.dumps(5), "E: m", None, None, False, None)))
    assert type(decode(foreign)) is TaskExecutionFailed


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ResultDecodeError):
        decode(b"nonsense")


def test_a_detached_error_holds_no_frames_and_keeps_its_traceback_as_text() -> None:
    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError) as raised:
        fail()
    error = exceptions.detached(raised.value)
    inner = error.__cause__

    assert inner is not None
    assert (error.__traceback__, inner.__traceback__) == (None, None)
    assert isinstance(inner.__cause__, exceptions.RemoteTraceback)
    assert 'raise ValueError("outer") from error' in inner.__cause__.text
    assert exceptions.detached(error).__cause__ is inner
    assert inner.__cause__.__cause__ is None


def test_a_detached_error_that_was_never_raised_lets_go_of_its_causes_frames() -> None:
    error = ResultDecodeError("cannot be read")
    try:
        sys.exit("while reading")
    except SystemExit as trouble:
        error.__cause__ = trouble

    exceptions.detached(error)

    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is None
    assert "while reading" in str(error.__cause__.__cause__)


def test_a_ring_of_causes_is_opened() -> None:
    error, other = ValueError("one"), ValueError("two")
    error.__cause__, other.__cause__ = other, error
    try:
        raise error
    except ValueError:
        exceptions.detached(error)

    assert error.__cause__ is other
    assert isinstance(other.__cause__, RemoteTraceback)


GROUP: Any = getattr(builtins, "ExceptionGroup", None)  # Python 3.11


class Frozen(Exception):
    """Refuses attributes, as a frozen dataclass does."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"cannot set {name}")


@dataclass(frozen=True)
class FrozenData(Exception):
    code: int


class FalseError(Exception):
    def __len__(self) -> int:
        return 0


class Slotted(Exception):
    __slots__ = ("code",)


class OwnNew(Exception):
    def __new__(cls, where: str, *, code: int) -> OwnNew:
        made = super().__new__(cls, where)
        made.code = code
        return made

    def __init__(self, where: str, *, code: int) -> None:
        super().__init__(where)

    code: int


def test_exceptions_that_refuse_attributes() -> None:
    for error in (Frozen("x"), FrozenData(3)):
        back = decode(encode(raised(error)))
        assert type(back) is type(error)
        assert isinstance(back.__cause__, RemoteTraceback)
        assert back.__cause__.tb == str(back.__cause__)
    assert decode(encode(FrozenData(3))).code == 3  # type: ignore[attr-defined]
    assert exceptions.detached(decode(encode(raised(Frozen("x"))))).__traceback__ is None


def test_causes_that_are_false_slots_and_an_own_new() -> None:
    outer = ValueError("outer")
    outer.__cause__ = FalseError("inner")
    assert type(decode(encode(outer)).__cause__) is FalseError
    slotted: Any = Slotted("a")
    slotted.code = 7
    back: Any = decode(encode(slotted))
    assert (back.args, back.code) == (("a",), 7)
    own: Any = decode(encode(OwnNew("here", code=5)))
    assert (type(own), own.args, own.code) == (OwnNew, ("here",), 5)


def test_an_open_file_in_an_exception_is_stood_in_for() -> None:
    class Body:
        def read(self) -> bytes:
            raise AssertionError("reading may block")

        def close(self) -> None:
            pass

        def __reduce__(self) -> Any:
            raise TypeError("open")

    error: Any = OSError("answer")
    error.body = Body()
    back: Any = decode(encode(error))
    assert "stayed in the worker" in repr(back.body)
    with pytest.raises(AttributeError, match="read: the Body of this exception stayed in the worker"):
        back.body.read()


def test_an_error_of_an_http_request() -> None:
    error = urllib.error.HTTPError("http://x", 404, "gone", email.message.Message(), io.BytesIO(b"body"))
    back: Any = decode(encode(raised(error)))
    assert (type(back), back.code, str(back)) == (urllib.error.HTTPError, 404, "HTTP Error 404: gone")
    assert traceback.format_exception(type(back), back, None)
    error.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_groups_keep_their_members() -> None:
    odd = OwnNew("here", code=7)
    odd.__cause__ = KeyError("cause")
    inner = GROUP("inner", [odd, Unpicklable("no")])
    group = GROUP("outer", [ValueError(1), inner])
    group.add_note("a note")
    back: Any = decode(encode(raised(group)))
    assert type(back) is GROUP
    assert (str(back), back.__notes__) == (str(group), ["a note"])
    first, nested = back.exceptions
    assert first.args == (1,)
    assert (nested.exceptions[0].code, nested.exceptions[0].__cause__.args) == (7, ("cause",))
    assert nested.exceptions[1].args[0] == "no"
    matched, rest = back.split(ValueError)
    assert len(matched.exceptions) == 1
    assert len(rest.exceptions) == 1


class Unpicklable(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text, threading.Lock())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_a_group_of_a_class_of_its_own() -> None:
    namespace: dict[str, Any] = {"__name__": "groups"}
    exec(
        "class Many(ExceptionGroup):\n"
        " def __new__(cls, errors, code):\n"
        "  made = super().__new__(cls, 'many', errors); made.code = code; return made\n"
        " def __init__(self, errors, code): super().__init__('many', errors)\n",
        namespace,
    )
    back: Any = decode(encode(namespace["Many"]([KeyError(1)], 5)))
    assert type(back) is namespace["Many"]
    assert (back.code, back.exceptions[0].args) == (5, (1,))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes are of Python 3.11")
def test_an_error_of_ours_says_once_where_its_remedy_is() -> None:
    try:
        raise NotFound("there is no task 5")
    except NotFound as error:
        back = decode(encode(error))
    assert isinstance(back, NotFound)
    shown = "".join(traceback.format_exception(back))
    assert shown.count(back.help) == 1
    assert shown.splitlines()[-1] == back.help


def test_the_name_that_was_not_found() -> None:
    class Own(AttributeError):
        def __init__(self, kind: str) -> None:
            super().__init__(f"no {kind}", name=kind)

    for error in (AttributeError("no x", name="x"), NameError("no x", name="x"), Own("x"), KeyError("x")):
        read = decode(encode(raised(error)))
        assert getattr(read, "name", None) == getattr(error, "name", None)
        assert read.args == error.args
