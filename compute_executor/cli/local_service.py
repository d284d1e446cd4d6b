"""The service of this machine, or one of `serve`, as `status` and `stop` meet it: found, asked, never started."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

from compute_executor.cli.wrong_input import failed
from compute_executor.errors import ComputeError, ServiceUnavailable, from_document
from compute_executor.local.embedded import ServiceAddress
from compute_executor.local.locks import is_held, living
from compute_executor.local.state import LOG, SERVICE_LOCK, ServiceInfo, state_folder

PATIENCE = 10.0
"""Seconds that an answer may take: the service answers within milliseconds unless the machine is overloaded."""

PAUSE = 0.05
"""Seconds between two looks at a service that begins or ends."""


class LocalService(NamedTuple):
    """A service that answers."""

    address: ServiceAddress
    pid: int
    folder: Path

    def ask(self, method: str, path: str) -> dict[str, Any]:
        """See the function."""
        return ask(self.address.url, self.address.token, method, path)


def ask(url: str, token: str, method: str, path: str, document: object = None) -> dict[str, Any]:
    """Return the answer of the service whose state folder is ours to one request, which carries ``document`` as JSON.
    Raises ServiceUnavailable, or the error that it answers with."""
    connection = _connection(url)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if document is None else json.dumps(document), headers)
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnavailable(f"the service at {url} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise from_document(found, http_status=answer.status)
    return found


def _connection(url: str) -> http.client.HTTPConnection:
    scheme, _, host = url.partition("://")
    if scheme == "http":
        return http.client.HTTPConnection(host, timeout=PATIENCE)
    # Its process holds the lock of our folder: who it is need not be proved by a certificate.
    return http.client.HTTPSConnection(host, timeout=PATIENCE, context=ssl._create_unverified_context())


def running(folder: Path | None = None) -> LocalService | None:
    """Return the service of this machine, or of that folder, if one runs; one that begins or ends is waited for.
    Raises ClickException when there is one that cannot be talked to."""
    place = folder or state_folder()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            announced = living(place)
            held = announced is not None or is_held(place / SERVICE_LOCK)
        except ComputeError as error:
            raise failed(error) from error
        if announced is not None and _answers(announced):
            address = ServiceAddress(announced.url, announced.token, announced.instance)
            return LocalService(address, announced.pid, place)
        if not held:
            return None
        if time.monotonic() >= deadline:
            who = f"process {announced.pid}" if announced else "a process"
            raise click.ClickException(f"{who} is the service but does not answer (yet); see {place / LOG}")
        time.sleep(PAUSE)


def _answers(announced: ServiceInfo) -> bool:
    try:
        ask(announced.url, announced.token, "GET", "/v2/version")
    except ComputeError:
        return False
    return True


def ended(folder: Path) -> bool:
    """Return whether no service holds this state folder any more."""
    return not is_held(folder / SERVICE_LOCK)
