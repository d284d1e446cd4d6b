"""What systemd is told, by a datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from compute_executor.service.process.systemd import Systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_when_it_serves_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@notify-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name[1:]}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        systemd = Systemd()
        assert "NOTIFY_SOCKET" not in os.environ
        systemd.serving("http://x")
        systemd.stopping()
        assert listener.recv(1000) == b"READY=1\nSTATUS=serving at http://x"
        assert listener.recv(1000) == b"STOPPING=1"


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Systemd().serving("http://x")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    Systemd().stopping()
