"""``compute-executor user|group|token|client``: who may use a service of one's own (``serve --auth token``)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compute_executor.cli.local_service import ask
from compute_executor.cli.wrong_input import WrongInput, failed
from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.local.locks import living
from compute_executor.local.state import home

if TYPE_CHECKING:
    from compute_executor.service.auth.accounts.commands import Document


def perform(folder: Path | None, command: str, **asked: str | None) -> Document:
    """Have it done by the service of the folder; in the folder itself when none runs. Raises click's errors."""
    place = folder.absolute() if folder else home() / "served"
    try:
        announced = living(place)
        if announced is not None:
            return ask(announced.url, announced.token, "POST", f"/v3/admin/{command}", asked)
        from compute_executor.service.auth.accounts.commands import AccountCommand
        from compute_executor.service.auth.accounts.folder import perform_in

        return perform_in(place, command, AccountCommand(**asked))
    except (InvalidRequest, NotFound) as error:
        raise WrongInput(str(error)) from None
    except ComputeError as error:
        raise failed(error) from None


def _table(rows: list[dict[str, Any]], *fields: str) -> None:
    for row in rows:
        click.echo("\t".join(_cell(name, row[name]) for name in fields))


def _cell(name: str, value: Any) -> str:
    if name == "expires":
        return f"until {_time(value)}" if value else "for good"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _time(when: float) -> str:
    return datetime.fromtimestamp(when).astimezone().isoformat(" ", "minutes")


_state: Callable[..., Any] = click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the service, as for `serve`.",
)
_expires: Callable[..., Any] = click.option(
    "--expires",
    metavar="DURATION",
    help="How long it is good: 12h, 30d, 8w. Without: until revoked or removed.",
)


@click.group()
def user() -> None:
    """The people who may use a service of your own."""


@user.command("add")
@click.argument("name")
@_state
def user_add(name: str, folder: Path | None) -> None:
    """Add a user; prints the id."""
    click.echo(perform(folder, "user-add", name=name)["id"])


@user.command("remove")
@click.argument("name")
@_state
def user_remove(name: str, folder: Path | None) -> None:
    """Remove a user: tokens are revoked, queued tasks do not run."""
    perform(folder, "user-remove", name=name)


@user.command("list")
@_state
def user_list(folder: Path | None) -> None:
    """Ids and names."""
    _table(perform(folder, "user-list")["found"], "id", "name")


@click.group()
def group() -> None:
    """Groups of users and clients, with which things can be shared."""


@group.command("add")
@click.argument("name")
@_state
def group_add(name: str, folder: Path | None) -> None:
    """Add a group; prints the id, which is what functions and endpoints are shared with."""
    click.echo(perform(folder, "group-add", name=name)["id"])


@group.command("remove")
@click.argument("name")
@_state
def group_remove(name: str, folder: Path | None) -> None:
    """Remove a group: what was shared with it is shared with nobody."""
    perform(folder, "group-remove", name=name)


@group.command("join")
@click.argument("name")
@click.argument("member")
@_state
def group_join(name: str, member: str, folder: Path | None) -> None:
    """Make a user or client a member."""
    perform(folder, "group-join", name=name, member=member)


@group.command("leave")
@click.argument("name")
@click.argument("member")
@_state
def group_leave(name: str, member: str, folder: Path | None) -> None:
    """End a membership."""
    perform(folder, "group-leave", name=name, member=member)


@group.command("list")
@_state
def group_list(folder: Path | None) -> None:
    """Ids, names and members."""
    _table(perform(folder, "group-list")["found"], "id", "name", "members")


@click.group()
def token() -> None:
    """What opens the service for a user or client."""


@token.command("new")
@click.argument("name")
@_expires
@_state
def token_new(name: str, expires: str | None, folder: Path | None) -> None:
    """Make a token for a user or client; prints it, this once."""
    click.echo(perform(folder, "token-new", name=name, expires=expires)["token"])


@token.command("revoke")
@click.argument("token_id")
@_state
def token_revoke(token_id: str, folder: Path | None) -> None:
    """Revoke a token, by the id that `token list` shows."""
    perform(folder, "token-revoke", name=token_id)


@token.command("list")
@_state
def token_list(folder: Path | None) -> None:
    """Ids, whose they are, and how long they are good."""
    _table(perform(folder, "token-list")["found"], "id", "name", "expires")


@click.group()
def client() -> None:
    """Programs that log in with an id and a secret, as stock Globus Compute peers do."""


@client.command("add")
@click.argument("name")
@_expires
@_state
def client_add(name: str, expires: str | None, folder: Path | None) -> None:
    """Add a client; prints id and secret, the secret this once."""
    made = perform(folder, "client-add", name=name, expires=expires)
    click.echo(f"{made['id']} {made['secret']}")


@client.command("remove")
@click.argument("name")
@_state
def client_remove(name: str, folder: Path | None) -> None:
    """Remove a client: its tokens are revoked, its queued tasks do not run."""
    perform(folder, "client-remove", name=name)


@client.command("list")
@_state
def client_list(folder: Path | None) -> None:
    """Ids, names, and how long their secrets are good."""
    _table(perform(folder, "client-list")["found"], "id", "name", "expires")
