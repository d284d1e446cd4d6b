"""The one long task of an engine: a pilot, as a child process of whatever the engine runs its tasks in."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = "import sys; from compute_executor.endpoint.pilots.pilot import main; sys.exit(main())"
"""What the child runs. Not ``-m``: that would put the engine's folder before the packages."""


def run_pilot(ticket: str, slot: str, options: list[str], variables: dict[str, str]) -> str:
    """Run a pilot until it ends; the end of what it said. It dies with this process."""
    life, ours = os.pipe()
    try:
        process = subprocess.Popen(
            [*command(sys.executable, "-", slot, options), "--life", str(life)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **variables},
            pass_fds=(life,),
            start_new_session=True,
        )
        os.close(life)
        _, said = process.communicate(ticket.encode())
    finally:
        os.close(ours)
    text = said.decode(errors="replace").strip()[-2000:]
    if process.returncode:
        raise RuntimeError(f"the pilot ended with exit code {process.returncode}: {text}")
    return text


def command(python: str, ticket: str, slot: str, options: list[str]) -> list[str]:
    """Return the command line of a pilot. ``ticket``: its file, or - for the standard input; ``options``: of its
    workers."""
    return [python, "-c", CODE, ticket, "--slot", slot, *options]
