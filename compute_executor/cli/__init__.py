"""The command line, ``compute-executor``: one file per command."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys

import click

from compute_executor._version import __version__

_FILES = {
    "backup": ("backup", "restore"),
    "accounts": ("client", "group", "token", "user"),
    **{
        name: (name,)
        for name in (
            "cancel",
            "check",
            "completion",
            "dashboard",
            "doctor",
            "endpoint",
            "explain",
            "export",
            "gc",
            "groups",
            "login",
            "logout",
            "logs",
            "manual",
            "migrate-imports",
            "plot",
            "serve",
            "status",
            "stop",
            "sweep",
            "task",
            "tasks",
            "whoami",
        )
    },
}
"""The commands of each file."""
_FILE_OF = {command: file.replace("-", "_") for file, names in _FILES.items() for command in names}


class _Commands(click.Group):
    """The commands. The file of each is imported when it is asked for: `status` need not wait for what `serve`
    needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Name all of them."""
        return sorted(_FILE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one; None for a name that is none."""
        file = _FILE_OF.get(cmd_name)
        if file is None:
            return None
        found: click.Command = getattr(
            importlib.import_module(f"{__name__}.{file}"), cmd_name.replace("-", "_")
        )
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed; a name that is none is told with the one that is nearest to it."""
        name = args[0]
        near = difflib.get_close_matches(name, _FILE_OF, 1)
        if name not in _FILE_OF and near:
            ctx.fail(f"No such command {name!r}. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="compute-executor")
def commands() -> None:
    """Run Python functions somewhere else: on this machine, your own service, or Globus Compute."""


def main() -> None:
    """Run the program. After a signal it leaves at once: the interpreter's own end would wait for what is running."""
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
