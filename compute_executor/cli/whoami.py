"""``compute-executor whoami``: under whose name programs on this machine use Globus Compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compute_executor.cli.wrong_input import failed
from compute_executor.errors import ComputeError, NotAuthorized

if TYPE_CHECKING:
    from compute_executor.sdk.login_manager import LoginManager


@click.command()
@click.option(
    "--environment", default=None, help="A deployment of Globus Compute; production is the default."
)
def whoami(environment: str | None) -> None:
    """Say who is logged in to Globus, if anybody is."""
    from compute_executor.sdk.login_manager import LoginManager  # imports globus_sdk

    try:
        manager = LoginManager(environment)
        if not manager.is_logged_in():
            click.echo("Nobody is logged in to Globus; this machine's own service needs no login.")
            return
        click.echo(identity(manager))
    except ComputeError as error:
        raise failed(error) from error


def identity(manager: LoginManager) -> str:
    """Name and id of whoever is logged in, as Globus Auth knows them. Raises NotAuthorized if it refuses."""
    import globus_sdk

    try:
        with manager.get_auth_client() as auth:
            found = auth.userinfo()
    except globus_sdk.GlobusAPIError as error:
        raise NotAuthorized(
            f"Globus Auth does not say who this is: {error.http_status}. Log in again"
        ) from None
    return f"{found.get('preferred_username') or found.get('name') or 'a client'} ({found['sub']})"
