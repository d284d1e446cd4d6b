"""The first frames of a stream: who speaks, and whether the two understand each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from websockets.sync.server import ServerConnection

from compute_executor.errors import VersionMismatch
from compute_executor.protocol.frames import PROTOCOL
from compute_executor.session.stream.handshake import greet, read_welcome
from compute_executor.session.stream.websocket import StreamLost
from tests.session.stream.streaming import connected


def test_the_greeting(server: Callable[..., str]) -> None:
    def welcome(connection: ServerConnection) -> None:
        assert f'"compute_executor":{PROTOCOL}' in str(connection.recv())
        connection.send(
            f'{{"compute_executor":{PROTOCOL},"version":"1","default_endpoint":"","blob_folder":null,"limits":{{}}}}'
        )
        connection.recv()

    with connected(server(welcome)) as stream:
        assert greet(stream).version == "1"


def test_a_service_that_says_nothing(server: Callable[..., str]) -> None:
    url = server(lambda connection: connection.recv() and connection.recv())

    with connected(url) as stream, pytest.raises(StreamLost, match="said nothing"):
        greet(stream, patience=0.05)


@pytest.mark.parametrize(
    "frame",
    [
        b"hello",
        b'{"task_id": 1}',
        b'{"compute_executor":999,"version":"9","default_endpoint":"","blob_folder":null,"limits":{}}',
    ],
)
def test_a_service_of_another_kind_or_version(frame: bytes) -> None:
    with pytest.raises(VersionMismatch):
        read_welcome(frame)
