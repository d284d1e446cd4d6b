"""Serves the page on the loopback interface until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from compute_executor.dashboard.guard import Guard
from compute_executor.dashboard.page import Page
from compute_executor.dashboard.source import AskedService, Source

HOST = "127.0.0.1"


def serve(service: AskedService, listener: socket.socket, opened: Callable[[str], None]) -> None:
    """Show ``service`` on a page at ``listener`` until Ctrl-C. ``opened`` is called with the one-time link."""
    source = Source(service)
    port = listener.getsockname()[1]
    guard = Guard(make_app(source), frozenset({f"{HOST}:{port}", f"localhost:{port}"}))
    opened(f"http://{HOST}:{port}/open?key={guard.key}")
    config = uvicorn.Config(guard, log_level="warning", access_log=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


def make_app(source: Source) -> FastAPI:
    """Yield the application: one page. The source is asked while it is served."""

    @contextlib.asynccontextmanager
    async def asking(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.ensure_future(source.follow())
        try:
            yield
        finally:
            task.cancel()

    app = FastAPI(lifespan=asking, openapi_url=None)

    @ui.page("/")
    def index() -> None:
        Page(source)

    ui.run_with(
        app, title="compute_executor", storage_secret=secrets.token_urlsafe(32), show_welcome_message=False
    )
    return app
