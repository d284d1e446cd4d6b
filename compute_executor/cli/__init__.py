"""The command line, ``compute-executor``: one file per command."""

from __future__ import annotations

import click

from compute_executor import __version__
from compute_executor.cli.sweep import sweep as sweep_command  # the plain name is the module's


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="compute-executor")
def main() -> None:
    """Run Python functions somewhere else: on this machine, your own service, or Globus Compute."""


main.add_command(sweep_command)
