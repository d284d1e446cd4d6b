"""A service of one's own as a process, for tests that hurt it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.local.state import ServiceInfo, read_announcement
from tests.contract.work import wait_until

PATIENCE = 60.0


class Answer(NamedTuple):
    """What a service answered: status, headers in small letters, and the document."""

    status: int
    headers: dict[str, str]
    document: dict[str, Any]


class Served:
    """`compute-executor serve` on a folder."""

    def __init__(self, state: Path, durability: str) -> None:
        options = ["--port", "0", "--state", str(state), "--durability", durability]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "compute_executor", "serve", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: self._announced(state) is not None)
        announced = self._announced(state)
        assert announced is not None
        self.url, self.token = announced.url, announced.token

    def _announced(self, state: Path) -> ServiceInfo | None:
        assert self.process.poll() is None
        found = read_announcement(state)
        return found if found and found.pid == self.process.pid else None

    def ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> Answer:
        """The answer to a request with the operator's token."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, json.loads(answer.read() or b"{}"))
        finally:
            connection.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
