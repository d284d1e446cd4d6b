"""Frames survive the wire, and nothing else passes for one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from compute_executor.protocol import frames as f

SPEC = f.PoolSpec(2, "/usr/bin/python3", ["/a"], "/", {"HOME": "/root"}, b"init")
TASKS = msgspec.Raw(msgspec.msgpack.encode([(0, b"payload"), (0, f.Blob("0" * 32, 5))]))

TO_SERVICE = [
    f.OpenPool(b"p" * 16, SPEC),
    f.ClosePool(b"p" * 16),
    f.Register(b"d" * 32, "f", b"code"),
    f.Subscribe(b"g" * 16, 7),
    f.Ack(b"g" * 16, 9),
    f.Cancel(3, [(b"x" * 12, [0, 5])]),
]
TO_CLIENT = [
    f.Accepted(b"x" * 12),
    f.Refused(b"x" * 12, {"reason": "no"}, 4),
    f.Registered(b"d" * 32, b"f" * 16),
    f.Results(
        b"g" * 16,
        [f.Result(1, b"x" * 12, 0, f.VALUE, b"v"), f.Result(2, b"x" * 12, 1, f.LOST, f.Blob("a", 1))],
    ),
    f.Began([(b"x" * 12, 1, 2.5)]),
    f.Cancelled(3, [(b"x" * 12, [0])]),
    f.PoolFailed(b"p" * 16, "why"),
    f.Goodbye("stopped"),
]


@pytest.mark.parametrize(
    ("frame", "kind"), [(one, f.ToService) for one in TO_SERVICE] + [(one, f.ToClient) for one in TO_CLIENT]
)
def test_a_frame_survives_the_wire(frame: Any, kind: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=kind) == frame


def test_the_tasks_of_a_submit_stay_as_they_came() -> None:
    sent = f.Submit(b"x" * 12, b"g" * 16, b"", None, [b"d" * 32], TASKS, 2, f.Options(retries=1))
    got = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=f.ToService)
    assert isinstance(got, f.Submit)
    assert bytes(got.tasks) == bytes(TASKS)
    assert msgspec.msgpack.decode(got.tasks, type=list[tuple[int, f.Body]])[1] == (0, f.Blob("0" * 32, 5))


@pytest.mark.parametrize("frame", [[99, b""], [4], {"tag": 1}, [4, "text", 0], [6, b"g", "no number"], None])
def test_anything_else_is_refused(frame: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=f.ToService)


def test_a_registration_of_an_older_client_is_unshared() -> None:
    frame = msgspec.msgpack.decode(
        msgspec.msgpack.encode([3, b"d" * 32, "f", b"code", "text", {}]), type=f.ToService
    )
    assert isinstance(frame, f.Register)
    assert (frame.description, frame.public, frame.group) == ("text", False, None)
