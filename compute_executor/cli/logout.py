"""``compute-executor logout``: revoke and forget the Globus login of this machine."""

from __future__ import annotations

import click

from compute_executor.errors import ComputeError


@click.command()
@click.option(
    "--environment", default=None, help="A deployment of Globus Compute; production is the default."
)
def logout(environment: str | None) -> None:
    """Log out from Globus: the tokens are revoked and forgotten. `Client()` then means this machine's service."""
    from compute_executor.sdk.login_manager import LoginManager  # imports globus_sdk

    try:
        had_tokens = LoginManager(environment).logout()
    except ComputeError as error:
        raise click.ClickException(str(error)) from error
    click.echo("Logged out from Globus." if had_tokens else "Nobody was logged in to Globus.")
