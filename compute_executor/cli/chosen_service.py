"""The service that a command is about: this machine's, that of a folder, of a profile or at an address."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from compute_executor.cli import local_service
from compute_executor.cli.wrong_input import WrongInput
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ServiceUnavailable,
    from_document,
)
from compute_executor.local import config
from compute_executor.local.state import DATABASE, state_folder
from compute_executor.local.upgrade import earlier_folders

PATIENCE = 60.0
"""Seconds that an answer may take: a service may be busy, or far away."""
LARGEST_ANSWER = 256 * 1024**2


class ChosenService(NamedTuple):
    """A service that is asked by HTTP. ``verified``: whether its certificate must hold."""

    url: str
    token: str
    certificate: str | None = None
    verified: bool = True

    def ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """Return the answer to one request. Raises ServiceUnavailable, or the error that it answers with."""
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read(LARGEST_ANSWER))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnavailable(f"the service at {self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise self._refusal(from_document(found, http_status=answer.status))
        return found

    def _refusal(self, error: ComputeError) -> ComputeError:
        """Return the error of an answer; of a service without the route, that it is older."""
        if isinstance(error, NotFound) and "no route" in str(error):
            return ServiceUnavailable(f"the service at {self.url} is older than this command: {error}")
        return error

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname:
            return http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
        if parts.scheme == "https" and parts.hostname:
            context = ssl.create_default_context(cafile=self.certificate)
            if not self.verified:
                context = ssl._create_unverified_context()  # its process holds the lock of our own folder
            return http.client.HTTPSConnection(parts.netloc, timeout=PATIENCE, context=context)
        raise InvalidRequest(
            f"{self.url!r} is no address of a service (http://HOST:PORT or https://HOST:PORT)"
        )


of_folder: Callable[..., Any] = click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of a service of your own, as for `serve`.",
)


def on_service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a service, and hands it to the command as ``service`` (None: there is none, and
    nothing is stored). Errors of the service end the command with their message."""
    decorated: Callable[..., Any] = of_folder(on_remote(command))
    return decorated


def on_running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a service, and hands it to the command as ``service``: a RunningService, or None.
    None is started."""

    @of_folder
    @click.option("--profile", help="A service of the configuration file.")
    @click.option("--url", help="The address of a service; its token is in COMPUTE_EXECUTOR_TOKEN.")
    @functools.wraps(command)
    def chosen(*, folder: Path | None, profile: str | None, url: str | None, **kwargs: Any) -> Any:
        with errors_told():
            return command(service=look(folder, profile, url), **kwargs)

    decorated: Callable[..., Any] = chosen
    return decorated


def on_remote(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same for a command that has an option for the folder (``folder``) of its own."""

    @click.option("--profile", help="A service of the configuration file.")
    @click.option("--url", help="The address of a service; its token is in COMPUTE_EXECUTOR_TOKEN.")
    @functools.wraps(command)
    def chosen(*, folder: Path | None, profile: str | None, url: str | None, **kwargs: Any) -> Any:
        with errors_told():
            return command(service=choose(folder, profile, url), **kwargs)

    return chosen


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """End the command with the message of an error: exit code 2 for what was asked wrongly, 1 for all else."""
    try:
        yield
    except (InvalidRequest, NotFound) as error:
        raise WrongInput(str(error)) from None
    except ComputeError as error:
        raise click.ClickException(str(error)) from None


def choose(folder: Path | None, profile: str | None, url: str | None) -> ChosenService | None:
    """Return the service that the options name, else that of the profile which the environment or the configuration
    names, else that of this machine. Raises WrongInput, ComputeError."""
    return _elsewhere(folder, profile, url) or _here(folder)


class RunningService(NamedTuple):
    """A service as `status` and `stop` meet it. ``local``: what is known of its process if it is on this machine."""

    service: ChosenService
    local: local_service.LocalService | None


def look(folder: Path | None, profile: str | None, url: str | None) -> RunningService | None:
    """Return the same service if it runs; none is started. Raises WrongInput, ComputeError."""
    found = _elsewhere(folder, profile, url)
    if found is not None:
        return RunningService(found, None)
    local = local_service.running(folder)
    return None if local is None else RunningService(_of(local), local)


def _of(local: local_service.LocalService) -> ChosenService:
    return ChosenService(local.address.url, local.address.token, verified=False)


def _elsewhere(folder: Path | None, profile: str | None, url: str | None) -> ChosenService | None:
    """Return the service that is named by an address; None: that of this machine or of a folder is meant."""
    if sum(option is not None for option in (folder, profile, url)) > 1:
        raise WrongInput("--state, --profile and --url each name a service: give one of them")
    if url is not None:
        return ChosenService(url, config.Profile(url).token())
    found = config.find_profile(profile) if folder is None else None
    if found is not None:
        certificate = found.certificate and str(Path(found.certificate).expanduser())
        return ChosenService(found.url, found.token(), certificate)
    return None


def _here(folder: Path | None) -> ChosenService | None:
    """Return the service of a folder that runs; that of this machine is started, without running what it has
    stored."""
    running = local_service.running(folder)
    if running is not None:
        return _of(running)
    if folder is not None:
        raise NotAuthorized(
            f"no service runs on {folder}: start it with compute-executor serve --state {folder}"
        )
    if not (state_folder() / DATABASE).exists() and not earlier_folders():
        return None
    from compute_executor.local.embedded import find_or_start  # only who starts one needs it

    address = find_or_start(held=True)
    return ChosenService(address.url, address.token, verified=False)
