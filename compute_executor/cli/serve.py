"""``compute-executor serve``: a service of one's own, for other machines and for stock Globus Compute peers."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compute_executor.cli.wrong_input import WrongInput
from compute_executor.errors import ComputeError, InvalidRequest
from compute_executor.local.state import home

if TYPE_CHECKING:
    from compute_executor.service.auth.globus_auth.registration import AppRegistration
    from compute_executor.service.limits import ServiceLimits
    from compute_executor.service.system_accounts import AccountMap

AMQP_URL = "COMPUTE_EXECUTOR_AMQP_URL"
CLIENT_ID, CLIENT_SECRET = "COMPUTE_EXECUTOR_CLIENT_ID", "COMPUTE_EXECUTOR_CLIENT_SECRET"
"""Environment variables, because a command line can be read by every user of the machine. They are taken out of the
environment, so that workers do not inherit them."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any.")
@click.option(
    "--state",
    "--database",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that holds the database and everything else.  [default: served, beside the local service's]",
)
@click.option(
    "--amqp-url",
    metavar="URL",
    help=f"RabbitMQ, for stock endpoints and SDKs: amqp://user:password@host:port/vhost. Better in ${AMQP_URL}.",
)
@click.option(
    "--amqp-public-url", metavar="URL", help="RabbitMQ as others reach it, if not by the same address."
)
@click.option(
    "--amqp-management-url", metavar="URL", help="Its management interface, if not http on port 15672."
)
@click.option(
    "--durability",
    type=click.Choice(["machine", "process"]),
    default="machine",
    show_default=True,
    help="What accepted tasks survive: a loss of power, or the death of any process.",
)
@click.option(
    "--auth",
    type=click.Choice(["local", "token", "globus"]),
    default="local",
    show_default=True,
    help="Whose tokens are good here: only the one in the state folder (the default: nobody is let in by accident); "
    "with token, also those of `user`, `token` and `client`; with globus, also those of Globus Auth.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a bound, also of how long results are kept (keep=14d); again for each. Others are those of the "
    "configuration file.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of service.log.",
)
@click.option(
    "--otel",
    is_flag=True,
    help="Send a span for each task to OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says.",
)
@click.option(
    "--name", "names", multiple=True, help="A further host name by which clients call this service."
)
@click.option("--tls-certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trust-all-users",
    is_flag=True,
    help="Let every user of --auth run code on the service's own endpoint, with the rights of this service. Without, "
    "it serves only whoever runs the service, and others name endpoints of their own.",
)
@click.option(
    "--run-as",
    metavar="accounts|FILE",
    help="Run each user's tasks on the service's own endpoint under an account of this machine: that of the user's "
    'name, or the one that a line "USER" = "ACCOUNT" of FILE (TOML) says. For a service that root runs with --auth.',
)
@click.option("--insecure-bind", is_flag=True, help="Listen beyond this machine without TLS.")
def serve(  # noqa: PLR0917 - as many as there are options
    host: str,
    port: int,
    folder: Path | None,
    amqp_url: str | None,
    amqp_public_url: str | None,
    amqp_management_url: str | None,
    durability: str,
    auth: str,
    limits: tuple[str, ...],
    log_format: str,
    otel: bool,
    names: tuple[str, ...],
    tls_certificate: Path | None,
    tls_key: Path | None,
    trust_all_users: bool,
    run_as: str | None,
    insecure_bind: bool,
) -> None:
    """Run a service in the foreground, until Ctrl-C.

    Stock Globus Compute peers find it with GLOBUS_SDK_ENVIRONMENT=local (http://localhost:5000) and
    GLOBUS_SDK_SERVICE_URL_AUTH=http://localhost:5000/. They log in as the client that COMPUTE_EXECUTOR_CLIENT_ID and
    COMPUTE_EXECUTOR_CLIENT_SECRET name here.

    With --auth globus, COMPUTE_EXECUTOR_GLOBUS_CLIENT_ID and COMPUTE_EXECUTOR_GLOBUS_CLIENT_SECRET are this service's
    registration with Globus Auth.
    """
    tls = _tls(tls_certificate, tls_key)
    if not (tls or insecure_bind or _is_loopback(host)):
        raise WrongInput(
            f"{host} can be reached from other machines: give --tls-certificate and --tls-key, or --insecure-bind "
            "if something in front of this service encrypts"
        )
    from compute_executor.service.globus_compute.peers import BrokerSettings
    from compute_executor.service.process.run import ServiceSettings, run

    environment_url = os.environ.pop(AMQP_URL, None)
    url = amqp_url or environment_url
    settings = ServiceSettings(
        folder=folder.absolute() if folder else home() / "served",
        host=host,
        port=port,
        durable=durability == "machine",
        limits=_limits(limits),
        log_as_json=log_format == "json",
        spans=otel,
        names=(*names, *_own_names(host)),
        tls=tls,
        broker=BrokerSettings(url, amqp_public_url, amqp_management_url) if url else None,
        client=_client(),
        globus=_globus(auth),
        accounts=auth == "token",
        trust_all_users=trust_all_users,
        run_as=_run_as(run_as, auth, trust_all_users=trust_all_users),
    )
    if trust_all_users:
        click.echo(
            "warning: every user may run any code here as this account, read the service's token with it and so "
            "become its administrator (--trust-all-users)",
            err=True,
        )
    sys.exit(run(settings, Terminal(settings.folder)))


class Terminal:
    """Whoever typed the command. A `service.process.starter.StartListener`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def serving(self, url: str) -> None:
        """Say where."""
        click.echo(f"serving at {url}, Ctrl-C ends it; the log is in {self._folder}")

    def failed(self, error: ComputeError) -> None:
        """Say why not."""
        click.echo(f"cannot serve: {error}", err=True)


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise WrongInput("--tls-certificate and --tls-key are given together")
    return certificate, key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_names(host: str) -> tuple[str, ...]:
    """Return what this machine is called, if it is listened to from elsewhere."""
    return () if _is_loopback(host) else (socket.gethostname(), socket.getfqdn())


def _client() -> tuple[str, str] | None:
    client_id, secret = os.environ.pop(CLIENT_ID, ""), os.environ.pop(CLIENT_SECRET, "")
    return (client_id, secret) if client_id and secret else None


def _globus(auth: str) -> AppRegistration | None:
    """Return the registration with Globus Auth. It leaves the environment in any case."""
    from compute_executor.service.auth.globus_auth.registration import take_registration

    try:
        registration = take_registration(os.environ)
    except InvalidRequest as error:
        if auth == "globus":
            raise WrongInput(str(error)) from None
        return None
    return registration if auth == "globus" else None


def _run_as(said: str | None, auth: str, *, trust_all_users: bool) -> AccountMap | None:
    """Under which accounts tasks run. Raises WrongInput."""
    if said is None:
        return None
    from compute_executor.service.system_accounts import SAME_NAMES, read_map

    if trust_all_users:
        raise WrongInput(
            "--run-as and --trust-all-users exclude each other: tasks run either under accounts of their users or "
            "under that of the service"
        )
    if auth == "local":
        raise WrongInput(
            "--run-as is for a service with several users: give --auth token or --auth globus, too"
        )
    if said == SAME_NAMES and auth == "globus":
        raise WrongInput(
            "users of Globus Auth are called such as ann@uni.example, and no account is: give --run-as a file with a "
            'line "ann@uni.example" = "ACCOUNT" for each'
        )
    if sys.platform != "linux":
        raise WrongInput(f"--run-as is for services on Linux, this is {sys.platform}")
    if os.geteuid() != 0:
        raise WrongInput(
            f"--run-as needs root, who alone can start processes under other accounts; this is uid {os.geteuid()}"
        )
    try:
        return read_map(said)
    except InvalidRequest as error:
        raise WrongInput(str(error)) from None


def _limits(given: tuple[str, ...]) -> ServiceLimits:
    """Return the bounds: those of the configuration file, unless they are given as name=value. Raises WrongInput."""
    from compute_executor.local import config
    from compute_executor.service.limits import limits_of

    changed: dict[str, object] = {}
    for text in given:
        name, _, changed_to = text.partition("=")
        changed[name] = changed_to
    try:
        return limits_of({**config.load().limits, **changed})
    except InvalidRequest as error:
        raise WrongInput(str(error)) from None
