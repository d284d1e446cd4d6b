"""``compute-executor login``: let a person's programs use Globus Compute from this machine."""

from __future__ import annotations

import click

from compute_executor.cli.whoami import identity
from compute_executor.cli.wrong_input import failed
from compute_executor.errors import ComputeError


@click.command()
@click.option(
    "--environment", default=None, help="A deployment of Globus Compute; production is the default."
)
@click.option("--force", is_flag=True, help="Log in again, even if there is a login that holds.")
def login(environment: str | None, force: bool) -> None:
    """Log in with Globus, for Globus Compute.

    Prints an address to open in a browser and asks for the code that is shown there. This machine's own service
    needs no login; while there is one, `Client()` without arguments means Globus Compute.
    """
    from compute_executor.sdk.login_manager import LoginManager  # imports globus_sdk

    try:
        manager = LoginManager(environment)
        manager.ensure_logged_in(force=force)
        click.echo(f"Logged in to Globus ({manager.environment}) as {identity(manager)}.")
    except ComputeError as error:
        raise failed(error) from error
