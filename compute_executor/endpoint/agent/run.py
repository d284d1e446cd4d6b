"""Running an endpoint on this machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

import uvloop

from compute_executor.endpoint.agent.folder import Credentials, EndpointFolder
from compute_executor.endpoint.agent.process import AgentProcess
from compute_executor.endpoint.agent.service_link import Locate, ServicePlace
from compute_executor.endpoint.settings import EndpointSettings, StartOrder
from compute_executor.errors import ComputeError, EndpointTaken
from compute_executor.local import config
from compute_executor.local.embedded import find, find_or_start
from compute_executor.local.log import open_log
from compute_executor.local.state import trouble

log: logging.Logger = logging.getLogger(__name__)


def run_endpoint(
    order: StartOrder,
    admit: Callable[[], Credentials],
    connected: Callable[[], object] = lambda: None,
    lost: Callable[[str], object] = lambda _: None,
) -> None:
    """Run an endpoint until it is told to end. ``admit``: see `AgentProcess`; ``connected``: called when the service
    has let it in; ``lost``: when there is no connection to it, with why.

    Raises EndpointTaken, NotAuthorized, InvalidRequest and other ComputeErrors with which it cannot go on.
    """
    folder = EndpointFolder(order.name)
    folder.prepare()
    open_log(folder.log, take_output=False)
    lock = folder.lock()
    if lock is None:
        raise already(folder)
    try:
        agent = AgentProcess(
            folder,
            order.settings,
            admit,
            locator(order.settings),
            join=order.join,
            replace=order.replace,
            first=connected,
            lost=lost,
        )
        uvloop.run(_run(agent))
        log.info("ended in order")
    except ComputeError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says all
        raise
    except OSError as error:
        log.exception("the endpoint ends by what the system refused")
        raise trouble("run the endpoint in", folder.here, error) from error
    except Exception:
        log.exception("the endpoint ends by an error of its own")
        raise
    finally:
        os.close(lock)


async def _run(agent: AgentProcess) -> None:
    try:
        await agent.run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends: one more Ctrl-C would only hinder that


def already(folder: EndpointFolder) -> EndpointTaken:
    """Return what is said when this machine runs the endpoint already."""
    found = folder.running()
    who = f"process {found.pid}" if found is not None and found.pid else "another process"
    return EndpointTaken(
        f"endpoint {folder.name} runs on {folder.host} already ({who}): stop it first with compute-executor endpoint "
        f"stop {folder.name}, or give this one another name"
    )


def locator(settings: EndpointSettings) -> Locate:
    """Find the service that the settings name. Raises InvalidRequest for an unknown profile, and a certificate that
    is none."""
    if not settings.url and not settings.profile:
        return LocalLocator()
    place = _place(settings)
    place.tls()
    return lambda: place


def _place(settings: EndpointSettings) -> ServicePlace:
    if settings.url:
        return ServicePlace(settings.url, settings.certificate)
    profile = config.find_profile(settings.profile)
    assert profile is not None
    return ServicePlace(profile.url, settings.certificate or profile.certificate_path or "")


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
