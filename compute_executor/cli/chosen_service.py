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
from compute_executor.local.certificates import tls_context
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
            said = answer.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise self._unanswered(error) from error
        finally:
            connection.close()
        found = self._document(answer, said)
        if answer.status != 200:
            refusal = from_document(found, http_status=answer.status)
            raise self._refusal(refusal, unknown="WWW-Authenticate" in answer.headers)
        return found

    def _unanswered(self, error: OSError | http.client.HTTPException) -> ServiceUnavailable:
        """Return what to say, and to do, when a request had no answer."""
        said = f"the service at {self.url} does not answer: {error}"
        if isinstance(error, ssl.SSLCertVerificationError):
            from compute_executor.sdk.http.direct import untrusted  # what no local service needs

            return untrusted(self.url, error)
        if isinstance(error, ssl.SSLError):
            return ServiceUnavailable(f"{said}. Does it speak TLS? If not, its address begins with http://")
        if isinstance(error, http.client.RemoteDisconnected) and self.url.startswith("http:"):
            return ServiceUnavailable(f"{said}. If it speaks TLS, its address begins with https://")
        if isinstance(error, http.client.HTTPException):
            return self._stranger(str(error).strip())
        return ServiceUnavailable(said)

    def _document(self, answer: http.client.HTTPResponse, said: bytes) -> dict[str, Any]:
        try:
            found = json.loads(said)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._stranger(f"{answer.status} {answer.reason}, {answer.headers.get_content_type()}")
        return found

    def _stranger(self, said: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"what listens at {self.url} is no service of compute-executor: it answers {said[:100]!r}. Look at host "
            "and port: `compute-executor serve` says its address when it starts"
        )

    def _refusal(self, error: ComputeError, *, unknown: bool = False) -> ComputeError:
        """Return the error of an answer; of a service without the route, that it is older. ``unknown``: the service
        does not know the token."""
        if isinstance(error, NotFound) and "no route" in str(error):
            return ServiceUnavailable(f"the service at {self.url} is older than this command: {error}")
        if unknown:
            return NotAuthorized(
                f"the service at {self.url} does not know the token that it was asked with, which is from "
                f"{config.TOKEN}, or from the profile: whoever runs it makes one with compute-executor token new USER"
            )
        return error

    def _connection(self) -> http.client.HTTPConnection:
        if self.verified:
            from compute_executor.sdk.http.direct import fixed_place  # as above

            fixed_place(self.url, self.token, insecure=True)
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
        return http.client.HTTPSConnection(parts.netloc, timeout=PATIENCE, context=self._trust())

    def _trust(self) -> ssl.SSLContext:
        if not self.verified:
            return ssl._create_unverified_context()  # its process holds the lock of our own folder
        return tls_context(self.certificate)


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


def choose(
    folder: Path | None, profile: str | None, url: str | None, certificate: str | None = None
) -> ChosenService | None:
    """Return the service that the options name, else that of the profile which the environment or the configuration
    names, else that of this machine. ``certificate``: of its authority, instead of what the profile names. Raises
    WrongInput, ComputeError."""
    return _elsewhere(folder, profile, url, certificate) or _here(folder)


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


def _elsewhere(
    folder: Path | None, profile: str | None, url: str | None, certificate: str | None = None
) -> ChosenService | None:
    """Return the service that is named by an address; None: that of this machine or of a folder is meant."""
    if sum(option is not None for option in (folder, profile, url)) > 1:
        raise WrongInput("--state, --profile and --url each name a service: give one of them")
    if url is not None:
        _warn_if_readable(url)
        return ChosenService(url, config.Profile(url).token(), certificate)
    found = config.find_profile(profile) if folder is None else None
    if found is not None:
        _warn_if_readable(found.url)
        return ChosenService(found.url, found.token(), certificate or found.certificate_path)
    return None


@functools.cache  # once for each command, which may ask its service several times
def _warn_if_readable(url: str) -> None:
    """Tell the user if others can read the token on its way."""
    from compute_executor.sdk.http.direct import is_readable  # what no local service needs

    if is_readable(url):
        click.echo(
            f"warning: {url} is plain http to another machine: anyone on the way can read the token, and use it. "
            "Use https, or an ssh tunnel to localhost",
            err=True,
        )


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
