"""Asking for outcomes: which tasks, in what parts."""

from __future__ import annotations

import msgspec
import pytest

from compute_executor.peer import ServiceEndpoint
from compute_executor.protocol.frames import VALUE, Result
from compute_executor.session.stream import polling


def test_outcomes_are_asked_for_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def request(address: ServiceEndpoint, method: str, path: str, body: bytes) -> bytes:
        asked.append((method, path, msgspec.msgpack.decode(body)))
        return msgspec.msgpack.encode([Result(0, b"a", 2, VALUE, b"")])

    monkeypatch.setattr(polling, "request", request)

    assert polling.poll(ServiceEndpoint("http://x", ""), [(b"a", [1, 2])]) == [Result(0, b"a", 2, VALUE, b"")]
    assert asked == [("POST", "/v2/batch_status", [[b"a", [1, 2]]])]
