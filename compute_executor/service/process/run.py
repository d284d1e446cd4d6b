"""The life of a service process: claim the folder, open the store, serve, and leave in order.

    run(settings)
      claim      state folder checked, log opened, service.lock taken (for life), port bound
      open       store -> Service -> engine, from what the folder holds: a service that was killed goes on here
      serve      uvicorn accepts connections; service.json is written; whoever started us is told
      leave      SIGTERM, /v3/shutdown, or idle: service.json removed, streams told, workers ended, store closed

Killed at any point, nothing is left that hinders the next: locks are the kernel's, service.json without a holder
of service.lock counts for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from compute_executor import system
from compute_executor.errors import ComputeError, FolderTaken, InvalidRequest
from compute_executor.local.locks import try_lock, wait_lock
from compute_executor.local.log import open_log
from compute_executor.local.state import (
    DATABASE,
    LOG,
    SERVICE_LOCK,
    START_LOCK,
    ServiceInfo,
    prepare_folder,
    read_announcement,
    remove_announcement,
    write_announcement,
)
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.accounts.accounts import Accounts, load_book
from compute_executor.service.auth.authenticators import (
    Authenticator,
    AuthenticatorChain,
    LocalToken,
    new_token,
)
from compute_executor.service.auth.clients import Clients, ConfiguredClient
from compute_executor.service.auth.globus_auth.registration import AppRegistration
from compute_executor.service.globus_compute.peers import BrokerSettings
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.process.admission import Admission
from compute_executor.service.process.assembly import open_service
from compute_executor.service.process.descriptors import most_connections, raise_limit
from compute_executor.service.process.idle import DEFAULT_IDLE, IdleClock
from compute_executor.service.process.server import Server, bind
from compute_executor.service.process.starter import StartListener, StartNotifier
from compute_executor.service.process.systemd import Systemd
from compute_executor.service.process.watchdog import LoopWatchdog
from compute_executor.service.service import Service
from compute_executor.service.store.database import open_reader
from compute_executor.service.store.reader import Reader
from compute_executor.service.system_accounts import AccountMap

if TYPE_CHECKING:
    from compute_executor.service.run_as.kind import RunAs

IDLE = "COMPUTE_EXECUTOR_IDLE"
CLAIM_PATIENCE = 1.0
"""Seconds to wait for service.lock: who asks whether it is held holds it for an instant."""
LONGEST_LOOK = 1.0
"""Seconds between two looks at whether the service is idle."""

logger: logging.Logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceSettings:
    """How to serve. ``embedded``: in the background, for one user, until idle. ``held``: see `Service.start`.
    ``durable``: what is accepted survives a power loss, not only a killed process. ``ready``: descriptor of a pipe
    for the `StartNotifier`. ``names``: further values that the Host header may have, with or without port; ``tls``:
    files of certificate and key; ``client``: id and secret of whoever may log in; ``globus``: this service's
    registration with Globus Auth, if that is where people log in; ``accounts``: tokens of the users and
    clients in the store are good, too; ``run_as``: under which accounts of the machine tasks of users run on the
    built-in endpoint; ``log_as_json``: see `log.open_log`; ``spans``: a span of OpenTelemetry for each task."""

    folder: Path
    embedded: bool = False
    held: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    durable: bool = False
    ready: int | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    names: tuple[str, ...] = ()
    tls: tuple[Path, Path] | None = None
    broker: BrokerSettings | None = None
    client: tuple[str, str] | None = field(default=None, repr=False)
    globus: AppRegistration | None = None
    accounts: bool = False
    trust_all_users: bool = False
    run_as: AccountMap | None = None
    log_as_json: bool = False
    spans: bool = False


def run(settings: ServiceSettings, starter: StartListener | None = None) -> int:
    """Serve until told to end. The exit code: 0 after an end in order, 1 if it could not serve (said in the log
    and to whoever started it: ``starter``, or the pipe of the settings)."""
    report = starter or StartNotifier(settings.ready)
    systemd = Systemd()
    umask = os.umask(0o077)  # of our own files; tasks have their program's
    try:
        listener = _claim(settings)
        uvloop.run(_Process(settings, listener, report, umask, systemd).serve())
        return 0
    except ComputeError as error:
        if logger.hasHandlers():  # else there is no log yet
            logger.error("cannot serve: %s", error)  # noqa: TRY400 - the message says all, the traceback nothing
        report.failed(error)
        return 1


def _claim(settings: ServiceSettings) -> socket.socket:
    """Make the folder and the port ours, or say why not."""
    prepare_folder(settings.folder)
    open_log(settings.folder / LOG, take_output=settings.embedded, as_json=settings.log_as_json)
    if wait_lock(settings.folder / SERVICE_LOCK, time.monotonic() + CLAIM_PATIENCE) is None:
        other = read_announcement(settings.folder)
        raise FolderTaken(
            f"another service ({f'process {other.pid} at {other.url}' if other else 'not yet announced'}) runs in "
            f"{settings.folder}: it holds {SERVICE_LOCK}. Use that one, stop it first, or choose another folder"
        )
    return bind(settings.host, settings.port)


def _in_url(host: str) -> str:
    """As URLs and the Host header write it: IPv6 addresses in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _hosts(names: Iterable[str], port: int) -> list[str]:
    """Return values of the Host header. A client leaves the port out where it is the scheme's own."""
    return [value for name in map(_in_url, names) for value in (f"{name}:{port}", name)]


def _patience() -> float:
    """Return the seconds until an idle embedded service ends."""
    text = os.environ.get(IDLE, "")
    try:
        seconds = float(text) if text else DEFAULT_IDLE
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise InvalidRequest(f"{IDLE}={text!r} is no number of seconds")
    return seconds


def _leaf(certificates: str) -> str:
    """Return the first certificate of a file in PEM, which is the service's own (RFC 8446 section 4.4.2)."""
    end = "-----END CERTIFICATE-----\n"
    return certificates[: certificates.find(end) + len(end)]


def _operators(settings: ServiceSettings) -> frozenset[str] | None:
    """Return whom the built-in endpoint serves: on a shared service only whoever runs it, because a task there has
    the rights of the service and could read its token. None: everybody."""
    shared = settings.accounts or settings.globus is not None
    if not shared or settings.trust_all_users:
        return None
    client = {settings.client[0]} if settings.client else set()
    return frozenset({LOCAL_USER, *client})


class _Process:
    """One run of a service. Owner of everything: the loop thread."""

    def __init__(
        self,
        settings: ServiceSettings,
        listener: socket.socket,
        report: StartListener,
        umask: int = 0o077,
        systemd: Systemd | None = None,
    ) -> None:
        self._settings = settings
        self._umask = umask
        self._systemd = systemd or Systemd()
        self._listener = listener
        self._report = report
        self._accounts: Accounts | None = None  # where their tokens are good
        host, port = listener.getsockname()[:2]
        url = f"{'https' if settings.tls else 'http'}://{_in_url(host)}:{port}"
        self._announcement = ServiceInfo(
            url, new_token(), secrets.token_hex(16), os.getpid(), system.network()
        )
        self._hosts = _hosts({host, "127.0.0.1", "localhost", *settings.names}, port)

    async def serve(self) -> None:
        """From the first look into the store to its closing."""
        patience = _patience() if self._settings.embedded else math.inf
        chosen = self._settings
        service = await open_service(
            chosen.folder,
            durable=chosen.durable,
            limits=chosen.limits,
            broker=chosen.broker,
            who_is=self._who_is if chosen.accounts else None,
            held=chosen.held,
            umask=self._umask,
            operators=_operators(chosen),
            run_as=self._run_as(),
        )
        try:
            async with self._authenticator(service) as authenticator, self._spans():
                server = self._server(service, authenticator)
                watch = asyncio.ensure_future(self._end_when_idle(server, service, patience))
                watchdog = LoopWatchdog()
                watchdog.start()
                await server.serve(sockets=[self._listener])
                watchdog.stop()
                watch.cancel()
        finally:
            await service.close()
            logger.info("ended in order")

    def _run_as(self) -> RunAs | None:
        """Return how tasks run under accounts of their users, if that is wanted. Raises InvalidRequest."""
        chosen = self._settings
        if chosen.run_as is None:
            return None
        from compute_executor.service.run_as.folders import PoolFolders, folder_beside
        from compute_executor.service.run_as.kind import OwnAddress, RunAs

        folders = PoolFolders(folder_beside(chosen.folder))
        folders.prepare()
        certificate = _leaf(chosen.tls[0].read_text()) if chosen.tls else ""
        return RunAs(chosen.run_as, folders, OwnAddress(self._announcement.url, certificate))

    @asynccontextmanager
    async def _spans(self) -> AsyncIterator[None]:
        """Export spans inside the ``with``, where that is wanted."""
        if not self._settings.spans:
            yield
            return
        # Not before it is needed: OpenTelemetry takes a while, and memory.
        from compute_executor.service.process.spans import SpanExport, otlp_provider

        export = SpanExport(self._settings.folder / DATABASE, otlp_provider())
        exporting = asyncio.ensure_future(export.run())
        try:
            yield
        finally:
            exporting.cancel()
            await asyncio.gather(exporting, return_exceptions=True)
            await asyncio.to_thread(export.close)

    @asynccontextmanager
    async def _authenticator(self, service: Service) -> AsyncIterator[Authenticator]:
        """Who knows the tokens: that of the folder, which is for whoever runs the service, and those of others."""
        local = LocalToken(self._announcement.token)
        if self._settings.accounts:
            self._accounts = service.accounts()
            async with self._accounts.watching(service):
                yield AuthenticatorChain(local, self._accounts)
        elif self._settings.globus is not None:
            # Not before it is needed: globus_sdk takes a while, and memory.
            from compute_executor.service.auth.globus_auth.opening import globus_logins

            async with globus_logins(self._settings.globus, service) as globus:
                yield AuthenticatorChain(
                    local, globus
                )  # in this order: the folder's token is not shown to Globus Auth
        else:
            yield local

    async def _who_is(self, user: str) -> Identity | None:
        """Return who somebody is now whose tasks are open: accounts may have changed while no service ran."""
        if user == LOCAL_USER or (self._settings.client and user == self._settings.client[0]):
            return Identity(user, user, admin=user == LOCAL_USER)
        with contextlib.closing(open_reader(self._settings.folder / DATABASE)) as connection:
            return load_book(Reader(connection)).identity(user)

    def _server(self, service: Service, tokens: Authenticator) -> Server:
        def stop() -> None:
            server.stop()

        async def stopping() -> None:
            self._systemd.stopping()
            remove_announcement(self._settings.folder, self._announcement.instance)
            await service.say_goodbye("the service ends")

        tokens = AuthenticatorChain(service.agents.tokens, tokens)  # first: theirs are shown to nobody else
        if service.account_pools is not None:
            tokens = AuthenticatorChain(service.account_pools, tokens)
        clients: Clients | None = self._accounts
        if self._settings.client is not None:
            clients = configured = ConfiguredClient(*self._settings.client, self._accounts)
            tokens = AuthenticatorChain(configured, tokens)
        shell = AppContext(
            service,
            service.blobs,
            self._announcement.instance,
            stop,
            clients=clients,
            accounts=self._accounts,
        )
        admission = Admission(most_connections(raise_limit()))
        app = make_app(shell, AccessConfig(tokens, self._hosts, known=admission.known))
        server = Server(app, self._started, stopping, tls=self._settings.tls, admission=admission)
        return server

    def _started(self) -> None:
        """Note that connections are accepted from now on."""
        write_announcement(self._settings.folder, self._announcement)
        self._report.serving(self._announcement.url)
        self._systemd.serving(self._announcement.url)
        gc.collect()
        gc.freeze()  # modules and routes live as long as the process: no collection need look at them again
        if self._settings.trust_all_users:
            logger.warning(
                "every user runs code here with the rights of this service, and can read its token"
            )
        logger.info("serving at %s from %s", self._announcement.url, self._settings.folder)

    async def _end_when_idle(self, server: Server, service: Service, patience: float) -> None:
        """Stop the server once nothing has happened for ``patience`` seconds (inf: never).

        start.lock is taken first and kept until the process is gone: whoever wants a service now either was heard
        before (a request came, so we are not idle) or waits for the lock and starts the next one.
        """
        clock = IdleClock(patience, time.monotonic())
        while True:
            await asyncio.sleep(min(LONGEST_LOOK, patience / 4 + 0.01))
            busy = server.busy or service.busy()
            if not clock.look(busy=busy, requests=server.requests, now=time.monotonic()):
                continue
            if self._alone():
                break
        logger.info("idle for %g s", patience)
        remove_announcement(self._settings.folder, self._announcement.instance)
        server.stop()

    def _alone(self) -> bool:
        """Take start.lock; also true if there is no folder left that anybody could find us by."""
        try:
            return try_lock(self._settings.folder / START_LOCK) is not None
        except (ComputeError, OSError) as error:
            logger.warning("the state folder cannot be used any more: %s", error)
            return True
