"""Running an endpoint on this machine: in the foreground, or as a daemon that says when it is connected."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import uvloop

from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.agent.process import AgentProcess
from compute_executor.endpoint.agent.service_link import Locate, ServicePlace
from compute_executor.endpoint.settings import EndpointSettings, load
from compute_executor.errors import ComputeError, EndpointTaken, NotAuthorized, from_document
from compute_executor.local import config
from compute_executor.local.embedded import find, find_or_start
from compute_executor.local.log import open_log
from compute_executor.surroundings import neutral

log = logging.getLogger(__name__)

CONNECTED = "connected"
"""What a daemon writes into its pipe; else it is the document of an error."""

READY_WITHIN = 20.0
"""Seconds that whoever started a daemon waits for that."""


def run_endpoint(
    name: str, *, join: bool = False, replace: bool = False, connected: Callable[[], object] = lambda: None
) -> None:
    """Run an endpoint until it is told to end. ``connected``: called when the service has let it in.

    Raises EndpointTaken, NotAuthorized, InvalidRequest and other ComputeErrors with which it cannot go on.
    """
    folder = EndpointFolder(name)
    folder.prepare()
    open_log(folder.log, take_output=False)
    lock = folder.lock()
    if lock is None:
        raise already(folder)
    try:
        settings = load(folder.settings)
        credentials = folder.credentials()
        if credentials is None:
            raise NotAuthorized(
                f"endpoint {name} has no token: compute-executor endpoint start {name} gets one"
            )
        agent = AgentProcess(
            folder,
            settings,
            credentials,
            locator(settings),
            join=join,
            replace=replace,
            first=connected,
        )
        uvloop.run(agent.run())
        log.info("ended in order")
    except NotAuthorized as error:
        folder.forget_credentials()
        log.error("%s", error)  # noqa: TRY400 - the message says all
        raise
    except ComputeError as error:
        log.error("%s", error)  # noqa: TRY400
        raise
    except Exception:
        log.exception("the endpoint ends by an error of its own")
        raise
    finally:
        os.close(lock)


def already(folder: EndpointFolder) -> EndpointTaken:
    """What is said when this machine runs the endpoint already."""
    found = folder.running()
    who = f"process {found.pid}" if found is not None and found.pid else "another process"
    return EndpointTaken(
        f"endpoint {folder.name} runs on {folder.host} already ({who}): stop it first with compute-executor endpoint "
        f"stop {folder.name}, or give this one another name"
    )


def locator(settings: EndpointSettings) -> Locate:
    """Finds the service that the settings name. Raises InvalidRequest for an unknown profile."""
    if settings.url:
        place = ServicePlace(settings.url, settings.certificate)
        return lambda: place
    profile = config.find_profile(settings.profile) if settings.profile else None
    if profile is not None:
        certificate = profile.certificate and str(Path(profile.certificate).expanduser())
        place = ServicePlace(profile.url, settings.certificate or certificate or "")
        return lambda: place
    return LocalLocator()


class LocalLocator:
    """Finds this user's local service. It is started the first time: it may have ended while a slow engine started,
    and whoever starts an endpoint wants it. Later whoever needs it does that."""

    def __init__(self) -> None:
        self._found = False

    def __call__(self) -> ServicePlace | None:
        """See `Locate`. Raises ServiceUnavailable if it cannot be started."""
        address = find() if self._found else find_or_start()
        self._found = True
        return ServicePlace(address.url, local=True) if address is not None else None


# -- as a daemon --------------------------------------------------------------------------------------------


def start_daemon(name: str, *, join: bool = False, replace: bool = False) -> tuple[int, bool]:
    """Start an endpoint in the background; its process id, and whether it is connected. Returns when it is, or has
    not been for a while.

    Raises what ended it.
    """
    reading, writing = os.pipe()
    flags = [*(["join"] if join else []), *(["replace"] if replace else [])]
    code = "from compute_executor.endpoint.agent.run import daemon; daemon()"
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code, name, str(writing), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        connected = _wait(pipe)
    process.returncode = 0  # it outlives us, and nobody here waits for it
    return process.pid, connected


def _wait(pipe: IO[str]) -> bool:
    import select

    if not select.select([pipe], [], [], READY_WITHIN)[0]:
        return False
    said = pipe.readline().strip()
    if said != CONNECTED:
        raise from_document(json.loads(said)) if said else ComputeError("the endpoint ended without a word")
    return True


def daemon() -> None:
    """The process that `start_daemon` starts."""
    name, ready, *flags = sys.argv[1:]
    neutral()
    with open(int(ready), "w", encoding="utf-8") as pipe:

        def connected() -> None:
            _tell(pipe, CONNECTED)

        try:
            run_endpoint(name, join="join" in flags, replace="replace" in flags, connected=connected)
        except ComputeError as error:
            _tell(pipe, json.dumps(error.document()))
            sys.exit(1)


def _tell(pipe: IO[str], text: str) -> None:
    try:
        pipe.write(text + "\n")
        pipe.flush()
    except OSError:  # nobody waits any more
        return
