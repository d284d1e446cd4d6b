"""WebSocket servers for tests, and streams to them."""

from __future__ import annotations

import contextlib
import logging
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from compute_executor.session.stream.websocket import WebSocketStream, connect
from compute_executor.testing.fake_server import close_pipe

Handler = Callable[[ServerConnection], Any]
quiet = logging.getLogger("test-websocket")
quiet.setLevel(logging.CRITICAL)


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """Starts WebSocket servers with a handler each; gives their URLs."""
    with ExitStack() as stack:

        def start(handler: Handler, **options: Any) -> str:
            one = serve(handler, "127.0.0.1", 0, compression=None, logger=quiet, **options)
            thread = threading.Thread(target=one.serve_forever)
            thread.start()
            stack.callback(close_pipe, one)
            stack.callback(thread.join)
            stack.callback(one.shutdown)
            return f"http://127.0.0.1:{one.socket.getsockname()[1]}"

        yield start


@contextlib.contextmanager
def connected(url: str) -> Iterator[WebSocketStream]:
    stream = connect(url, "Bearer token")
    try:
        yield stream
    finally:
        stream.close()


def receive(stream: WebSocketStream) -> list[bytes]:
    """The next frames, waited for."""
    while not (frames := stream.receive()):
        unsent = [] if stream.flush() else [stream]
        assert any(select.select([stream], unsent, [], 10)), "nothing came"
    return frames
