"""``compute-executor doctor``: looks at everything between a submit and its result, and says what to do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from compute_executor.cli import checks
from compute_executor.cli.checks import Finding
from compute_executor.cli.summary import one_line
from compute_executor.errors import ComputeError, NotFound

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client

SIGNS = {checks.OK: "ok     ", checks.WARNING: "warning", checks.WRONG: "WRONG  "}


@click.command()
@click.option("--url", default=None, help="A service of your own; default: the one that Client() means.")
@click.option("--token-variable", default=None, help="The environment variable that holds the token for it.")
@click.option("--endpoint", "endpoint_id", metavar="NAME|ID", help="Look at this endpoint, too.")
def doctor(url: str | None, token_variable: str | None, endpoint_id: str | None) -> None:
    """Check login, address, clocks, stream, broker and endpoint, and say what to do.

    The exit code is 1 if something is wrong.
    """
    worst = checks.OK
    for finding in _findings(url, token_variable, endpoint_id):
        click.echo(f"{SIGNS[finding.state]}  {finding.name}: {one_line(finding.text)}")
        if finding.advice:
            click.echo(f"         -> {finding.advice}")
        if finding.state == checks.WRONG:
            worst = checks.WRONG
    if worst == checks.WRONG:
        raise click.exceptions.Exit(1)


def _findings(url: str | None, token_variable: str | None, endpoint_id: str | None) -> Iterator[Finding]:
    yield _tried("configuration", _configuration)
    try:
        client = _client(url, token_variable)
    except ComputeError as error:
        yield checks.trouble("login", error)
        return
    with client:
        try:
            yield from _service(client)
            own = client.is_own_service()
        except ComputeError as error:
            yield checks.trouble("service", error)
            return
        if own:
            yield _tried("stream", lambda: _stream(client))
        if not own or _is_id(endpoint_id):  # our own services need one for stock endpoints only
            yield _tried("broker", lambda: _broker(client))
        if endpoint_id is not None:
            yield from _endpoint(client, endpoint_id, own)


def _configuration() -> Finding:
    """Return the configuration file, with what services and profiles need of it."""
    from compute_executor.local import config
    from compute_executor.service.limits import limits_of

    place, found = config.config_file(), config.load()
    limits_of(found.limits)
    config.find_profile()  # raises if the one that is chosen is not there
    return checks.configuration(str(place), place.exists(), found.profiles, config.troubles(found))


def _client(url: str | None, token_variable: str | None) -> Client:
    import os

    from compute_executor.sdk.client import Client

    token = os.environ.get(token_variable) if token_variable else None
    return Client(base_url=url, token=token) if url else Client()


def _tried(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ComputeError as error:
        return checks.trouble(name, error)


def _service(client: Client) -> Iterator[Finding]:
    document, date = client.look()
    yield checks.service(document, client.address())
    yield checks.clocks(date, time.time())
    yield _tried("login", lambda: _login(client))


def _login(client: Client) -> Finding:
    """Return something that only who is let in may ask."""
    client.get_endpoints()
    return Finding("login", checks.OK, "the service lets us in")


def _stream(client: Client) -> Finding:
    from compute_executor.session.stream.handshake import greet
    from compute_executor.session.stream.websocket import StreamLost, connect

    try:
        stream = connect(client.address(), client.authorization() or "")
    except StreamLost as error:
        return Finding(
            "stream", checks.WARNING, str(error), "does a proxy between here and there pass WebSockets on?"
        )
    try:
        greet(stream)
    except StreamLost as error:
        return Finding(
            "stream", checks.WARNING, str(error), "does a proxy between here and there pass WebSockets on?"
        )
    finally:
        stream.close()
    return Finding("stream", checks.OK, "opens")


def _broker(client: Client) -> Finding:
    from compute_executor.session.hosted import amqp

    try:
        found = client.result_queues(trouble=True)
    except NotFound:
        return Finding(
            "broker", checks.OK, "this service has none: results come by its stream, or by polling"
        )
    place = urlsplit(found.url)
    shown = f"{place.scheme}://{place.hostname}:{place.port}"
    try:
        amqp.check(found.url, client.address())
        amqp.ResultQueueConsumer(found.url, {}, lambda *_: True).close()
    except (amqp.QueueLost, ComputeError) as error:
        return checks.broker(shown, error)
    return checks.broker(shown, None, found.trouble)


def _endpoint(client: Client, name: str, own: bool) -> Iterator[Finding]:
    """Yield an endpoint of this package, by name or id; or one of Globus Compute, by its id."""
    if own:
        try:
            document = client.own_api().look_at_endpoint(name)
        except NotFound as error:
            if not _is_id(name):
                yield checks.trouble(f"endpoint {name}", error)
                return
        except ComputeError as error:
            yield checks.trouble(f"endpoint {name}", error)
            return
        else:
            yield from checks.agent(document)
            return
    yield _tried(
        f"endpoint {name}",
        lambda: checks.endpoint(client.get_endpoint_metadata(name), client.get_endpoint_status(name)),
    )


def _is_id(name: str | None) -> bool:
    try:
        uuid.UUID(name or "")
    except ValueError:
        return False
    return True
