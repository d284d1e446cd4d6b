"""A wire between an endpoint and the local service, which makes its machine look like another one."""

from __future__ import annotations

import socket
from pathlib import Path

from compute_executor.local import embedded
from compute_executor.local.state import state_folder
from tests.body_files import sizes_in
from tests.faults.proxy import Proxy


class Wire:
    """The way from an endpoint with a state folder of its own to the local service, whose folder of bodies it is not
    told."""

    def __init__(self, tmp_path: Path) -> None:
        self._address = embedded.find_or_start()
        self.proxy = Proxy(self._where, hidden=str(state_folder() / "blobs").encode())
        self.home = tmp_path / "other-home"

    def _where(self) -> tuple[str, int]:
        found = embedded.find() or self._address
        host, _, port = found.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def options(self) -> tuple[str, ...]:
        return ("--url", f"http://127.0.0.1:{self.proxy.port}")

    def environment(self) -> dict[str, str]:
        return {"COMPUTE_EXECUTOR_HOME": str(self.home), "COMPUTE_EXECUTOR_TOKEN": self._address.token}

    def blobs(self, endpoint: str) -> list[int]:
        """The sizes of the bodies that an endpoint keeps."""
        folder = self.home / "endpoints" / endpoint / socket.gethostname() / "blobs"
        return sizes_in(folder)
