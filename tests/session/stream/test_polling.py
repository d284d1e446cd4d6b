"""Asking for outcomes: which tasks, in what parts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.peer import ServiceEndpoint
from compute_executor.protocol.frames import VALUE, Result
from compute_executor.session.stream import polling


def test_parts_are_cut_where_they_are_full() -> None:
    assert list(polling.parts([(b"a", [1, 2, 3]), (b"b", [4])], 2)) == [
        [(b"a", [1, 2])],
        [(b"a", [3]), (b"b", [4])],
    ]


@given(
    st.lists(st.tuples(st.binary(max_size=3), st.lists(st.integers(0, 9), max_size=7)), max_size=6),
    st.integers(1, 5),
)
def test_parts_lose_nothing(tasks: list[tuple[bytes, list[int]]], size: int) -> None:
    parts = list(polling.parts(tasks, size))

    assert all(0 < sum(len(positions) for _, positions in part) <= size for part in parts)
    assert [(prefix, one) for part in parts for prefix, positions in part for one in positions] == [
        (prefix, one) for prefix, positions in tasks for one in positions
    ]


def test_outcomes_are_asked_for_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def request(address: ServiceEndpoint, method: str, path: str, body: bytes) -> bytes:
        asked.append((method, path, msgspec.msgpack.decode(body)))
        return msgspec.msgpack.encode([Result(0, b"a", 2, VALUE, b"")])

    monkeypatch.setattr(polling, "request", request)

    assert polling.poll(ServiceEndpoint("http://x", ""), [(b"a", [1, 2])]) == [Result(0, b"a", 2, VALUE, b"")]
    assert asked == [("POST", "/v2/batch_status", [[b"a", [1, 2]]])]
