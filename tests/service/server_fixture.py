"""A service with users, as `serve --auth token` makes it, in a thread of the test: over real sockets, with or without
TLS. Its workers give back what they are given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from compute_executor.local.locks import try_lock
from compute_executor.local.state import SERVICE_LOCK, ServiceInfo, prepare_folder, write_announcement
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.authenticators import AuthenticatorChain, LocalToken
from compute_executor.service.process.server import Server, bind
from tests.service.fixture import ServiceFixture

uvloop.new_event_loop().close()  # libuv opens one pipe for all signals of the process, and keeps it

LOCAL = "the-token-of-the-folder"


class Town:
    """Ann is there from the start; others by the commands, which find the service by its folder."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = folder
        self.up = threading.Event()
        self.accounts: Accounts
        self._tls = tls
        self._listener = bind("127.0.0.1", 0)
        port = self._listener.getsockname()[1]
        self._hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
        self.url = f"{'https' if tls else 'http'}://{self._hosts[0]}"
        self._server: Server
        self._loop: Any = uvloop.new_event_loop()

    def run(self) -> None:
        prepare_folder(self.folder)
        lock = try_lock(self.folder / SERVICE_LOCK)
        assert lock is not None
        try:
            with contextlib.closing(self._loop) as loop:
                loop.run_until_complete(self._serve())
        finally:
            os.close(lock)

    async def _serve(self) -> None:
        fixture = ServiceFixture(self.folder, echo=True)
        service = await fixture.start()
        self.accounts = service.accounts()
        await self.accounts.add_user("ann")
        shell = AppContext(service, fixture.blobs, "instance-1", lambda: None, accounts=self.accounts)
        app = make_app(shell, AccessConfig(AuthenticatorChain(LocalToken(LOCAL), self.accounts), self._hosts))
        goodbye = lambda: service.say_goodbye("the service ends")  # noqa: E731
        self._server = Server(app, self._started, goodbye, tls=self._tls)
        try:
            async with self.accounts.watching(service):
                await self._server._serve([self._listener])  # signals are the main thread's
        finally:
            await service.close()

    def _started(self) -> None:
        write_announcement(self.folder, ServiceInfo(self.url, LOCAL, "instance-1", os.getpid()))
        self.up.set()

    def stop(self) -> None:
        self._server.stop()

    def _do(self, change: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(change, self._loop).result(10)

    def token(self) -> tuple[str, str]:
        """A new token of Ann's, and its id."""
        token, kept = self._do(self.accounts.new_token("ann"))
        return token, kept.id

    def revoke(self, token_id: str) -> None:
        self._do(self.accounts.revoke_token(token_id))


@contextlib.contextmanager
def running(folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[Town]:
    """One that runs inside the ``with``."""
    town = Town(folder, tls)
    thread = threading.Thread(target=town.run)
    thread.start()
    try:
        assert town.up.wait(10)
        yield town
    finally:
        town.stop()
        thread.join()
