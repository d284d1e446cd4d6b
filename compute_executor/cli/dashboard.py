"""``compute-executor dashboard``: a page in the browser that shows a service."""

from __future__ import annotations

import contextlib
import socket
import webbrowser

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.local.embedded import find_or_start


@click.command()
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Of the page; 0 takes any.")
@click.option("--browser/--no-browser", default=True, help="Open it, or only print the link.")
@on_service
def dashboard(service: ChosenService | None, port: int, browser: bool) -> None:
    """Show rate, queue, groups, tasks, failures and workers on a page, until Ctrl-C.

    The page is for this machine only. Its link works once, for the browser that opens it first.
    """
    try:
        from compute_executor.dashboard.server import HOST, serve
    except ImportError as error:
        raise click.ClickException(
            f"the dashboard needs a package ({error.name}): pip install 'compute-executor[dashboard]'"
        ) from None
    if service is None:
        address = find_or_start(held=True)
        service = ChosenService(address.url, address.token, verified=False)
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be used: {error.strerror}; choose another") from None

    def opened(link: str) -> None:
        click.echo(f"{link}\n(works once; Ctrl-C ends the page, not the service)")
        if browser:
            webbrowser.open(link)

    with listener, contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        serve(service, listener, opened)
