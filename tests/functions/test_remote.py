"""What runs on the worker's side on our behalf."""

from __future__ import annotations

import pickle
import sys

import pytest

from compute_executor.functions import remote
from compute_executor.serialization import exceptions


def test_the_generic_caller_passes_every_keyword() -> None:
    for caller in (remote.call, remote.named("f"), pickle.loads(pickle.dumps(remote.named("f")))):
        assert caller(dict, function=1, self=2) == {"function": 1, "self": 2}


def test_a_stream_arrives_as_the_object() -> None:
    assert pickle.loads(pickle.dumps(remote.Stream(pickle.dumps([1, 2])))) == [1, 2]


def test_a_stream_brings_what_has_come_to_the_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["there"])
    stream = pickle.dumps(remote.Stream(pickle.dumps(1), (("first", "there"), ("last",))))
    assert pickle.loads(stream) == 1
    assert pickle.loads(stream) == 1
    assert sys.path == ["first", "there", "last"]


def test_each_of_many_calls() -> None:
    assert remote.EachOf(pow)([(2, 3), (3, 2)]) == ([8, 9], None)


def test_an_error_does_not_take_the_earlier_values_with_it() -> None:
    values, error = remote.EachOf(divmod)([(7, 2), (1, 0), (9, 2)])

    assert values == [(3, 1)]
    assert error is not None
    with pytest.raises(ZeroDivisionError):
        raise exceptions.decode(error)


def test_leaving_ends_the_chunk() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        remote.EachOf(leave)([()])
