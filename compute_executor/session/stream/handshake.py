"""The first frames of a stream: who speaks, and whether the two understand each other."""

from __future__ import annotations

import platform
import selectors
import time

import msgspec

from compute_executor._version import __version__
from compute_executor.errors import VersionMismatch
from compute_executor.protocol.frames import PROTOCOL, Hello, ProgramInfo, Welcome
from compute_executor.session.stream.websocket import CONNECT_PATIENCE, StreamLost, WebSocketStream


def greet(
    stream: WebSocketStream,
    patience: float = CONNECT_PATIENCE,
    *,
    trace: bool = False,
    program: ProgramInfo | None = None,
    output: bool = False,
) -> Welcome:
    """Send Hello and wait for the Welcome. ``trace``: ask for the times of tasks; ``program``: who is asking;
    ``output``: ask for what tasks write.

    Raises StreamLost or VersionMismatch.
    """
    hello = Hello(PROTOCOL, __version__, platform.python_version(), trace, program, output)
    stream.send_text(msgspec.json.encode(hello).decode())
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            frames = stream.receive()
            if frames:
                return read_welcome(frames[0])
            stream.flush()
            selector.select(left)
    raise StreamLost(f"the service said nothing for {patience:.0f} s")


def read_welcome(frame: bytes) -> Welcome:
    """Return the Welcome in the service's first frame. Raises VersionMismatch for any other."""
    try:
        welcome = msgspec.json.decode(frame, type=Welcome)
    except (ValueError, RecursionError) as error:
        raise VersionMismatch(
            f"the service's first frame is no Welcome: {error}. Is it one of ours?"
        ) from None
    if welcome.compute_executor != PROTOCOL:
        raise VersionMismatch(
            f"the service (version {welcome.version}) speaks protocol {welcome.compute_executor}, this client "
            f"(version {__version__}) speaks {PROTOCOL}: update the older one"
        )
    return welcome
