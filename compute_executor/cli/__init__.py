"""The command line, ``compute-executor``: one file per command."""

from __future__ import annotations

import io
import os
import sys

import click

from compute_executor._version import __version__
from compute_executor.cli import accounts as accounts_file
from compute_executor.cli import backup as backup_file
from compute_executor.cli import cancel as cancel_file
from compute_executor.cli import check as check_file
from compute_executor.cli import completion as completion_file
from compute_executor.cli import dashboard as dashboard_file
from compute_executor.cli import doctor as doctor_file
from compute_executor.cli import endpoint as endpoint_file
from compute_executor.cli import explain as explain_file
from compute_executor.cli import export as export_file
from compute_executor.cli import gc as gc_file
from compute_executor.cli import groups as groups_file
from compute_executor.cli import login as login_file
from compute_executor.cli import logout as logout_file
from compute_executor.cli import logs as logs_file
from compute_executor.cli import manual as manual_file
from compute_executor.cli import migrate_imports as migrate_file
from compute_executor.cli import plot as plot_file
from compute_executor.cli import serve as serve_file
from compute_executor.cli import status as status_file
from compute_executor.cli import stop as stop_file
from compute_executor.cli import sweep as sweep_file
from compute_executor.cli import task as task_file
from compute_executor.cli import tasks as tasks_file
from compute_executor.cli import whoami as whoami_file


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="compute-executor")
def commands() -> None:
    """Run Python functions somewhere else: on this machine, your own service, or Globus Compute."""


for command in (
    sweep_file.sweep,
    plot_file.plot,
    export_file.export,
    status_file.status,
    groups_file.groups,
    tasks_file.tasks,
    task_file.task,
    logs_file.logs,
    cancel_file.cancel,
    dashboard_file.dashboard,
    doctor_file.doctor,
    explain_file.explain,
    endpoint_file.endpoint,
    stop_file.stop,
    gc_file.gc,
    check_file.check,
    backup_file.backup,
    backup_file.restore,
    serve_file.serve,
    login_file.login,
    logout_file.logout,
    whoami_file.whoami,
    migrate_file.migrate_imports,
    accounts_file.user,
    accounts_file.group,
    accounts_file.token,
    accounts_file.client,
    completion_file.completion,
    manual_file.manual,
):
    commands.add_command(command)


def main() -> None:
    """The program. After a signal it leaves at once: the interpreter's own end would wait for what is running."""
    _print_anything()
    try:
        commands(prog_name="compute-executor")
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


def _print_anything() -> None:
    """Have signs that the terminal or the file cannot take printed as escapes, where they are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


SIGNALLED = 128
"""Exit codes above are 128 + the number of a signal, as shells count."""
