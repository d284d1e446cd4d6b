"""Descriptors through a socket with a name."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from compute_executor.endpoint.pool import fd_server as module
from compute_executor.endpoint.pool.fd_server import NAME, FdServer


def test_the_first_who_comes_gets_them_and_nobody_else() -> None:
    async def scenario() -> None:
        reading, writing = os.pipe()
        server = FdServer([writing])
        os.close(writing)
        assert os.stat(server.folder).st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.connect(os.path.join(server.folder, NAME))
            while Path(server.folder).exists():
                await asyncio.sleep(0.01)
            _, (given,), _, _ = socket.recv_fds(visitor, 1, 1)
        os.write(given, b"through")
        assert os.read(reading, 10) == b"through"
        for file in (given, reading):
            os.close(file)
        server.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_closed_it_leaves_nothing() -> None:
    async def scenario() -> None:
        server = FdServer([0])
        server.close()
        server.close()
        assert not Path(server.folder).exists()

    asyncio.run(scenario())


def test_one_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "mkdtemp", lambda prefix: str(tmp_path / ("x" * 200)))  # type: ignore[attr-defined]
    (tmp_path / ("x" * 200)).mkdir()

    async def scenario() -> None:
        with pytest.raises(OSError, match="too long"):
            FdServer([0])

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []
