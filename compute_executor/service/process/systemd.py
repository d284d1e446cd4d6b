"""Telling systemd how the service is doing, where systemd has started it (``Type=notify``).

A datagram to the socket that NOTIFY_SOCKET names (freedesktop.org/software/systemd/man/sd_notify.html). The variable
is taken out of the environment, so that no task can speak for the service.
"""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"


class Systemd:
    """Whoever started the service, if that was systemd; else nobody, who is told nothing."""

    def __init__(self) -> None:
        self._place = os.environ.pop(VARIABLE, "")

    def serving(self, url: str) -> None:
        """Note that connections are accepted."""
        self._tell(f"READY=1\nSTATUS=serving at {url}")

    def stopping(self) -> None:
        """Note that the end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._place:
            return
        address = f"\0{self._place[1:]}" if self._place.startswith("@") else self._place
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(message.encode(), address)  # what runs is not stopped because nobody listens
