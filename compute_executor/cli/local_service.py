"""This user's embedded service, as `status` and `stop` meet it: found, asked, never started."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, NamedTuple

import click

from compute_executor.errors import ComputeError, ServiceUnavailable, from_document
from compute_executor.service.embedded import ServiceAddress, find
from compute_executor.service.locks import is_held
from compute_executor.service.state import LOG, SERVICE_LOCK, read_announcement, state_folder

PATIENCE = 10.0
"""Seconds that an answer may take: the service answers within milliseconds unless the machine is overloaded."""


class LocalService(NamedTuple):
    """A service that answers."""

    address: ServiceAddress
    pid: int
    folder: Path

    def ask(self, method: str, path: str) -> dict[str, Any]:
        """Its answer to one request. Raises ServiceUnavailable, or the error that it answers with."""
        host = self.address.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {self.address.token}"})
            answer = connection.getresponse()
            document: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnavailable(f"the service at {self.address.url} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise from_document(document, http_status=answer.status)
        return document


def running() -> LocalService | None:
    """The service if one runs. Raises ClickException when there is one that cannot be talked to."""
    folder = state_folder()
    try:
        address = find()
        announced = read_announcement(folder)
        held = is_held(folder / SERVICE_LOCK)
    except ComputeError as error:
        raise click.ClickException(str(error)) from error
    if address is not None and announced is not None:
        return LocalService(address, announced.pid, folder)
    if held:
        who = f"process {announced.pid}" if announced else "a process"
        raise click.ClickException(f"{who} is the service but does not answer (yet); see {folder / LOG}")
    return None


def ended(folder: Path) -> bool:
    """Whether no service holds this state folder any more."""
    return not is_held(folder / SERVICE_LOCK)
