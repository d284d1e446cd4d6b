"""An endpoint in the background: a process of its own that says when it is connected, or why it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from typing import IO

import msgspec

from compute_executor.cli.endpoint_registration import admit
from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.agent.run import run_endpoint
from compute_executor.endpoint.settings import StartOrder
from compute_executor.errors import ComputeError, from_document
from compute_executor.surroundings import neutral

CONNECTED = "connected"
"""What a daemon writes into its pipe; else it is the document of an error."""

READY_WITHIN = 20.0
"""Seconds that whoever started a daemon waits for that."""


def start_daemon(order: StartOrder) -> tuple[int, bool]:
    """Start an endpoint in the background; its process id, and whether it is connected. Returns when it is, or has
    not been for a while.

    Raises what ended it.
    """
    reading, writing = os.pipe()
    code = "from compute_executor.cli.endpoint_daemon import main; main()"
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as file:
            file.write(msgspec.json.encode(order))
        connected = _wait(pipe, EndpointFolder(order.name))
    process.returncode = 0  # it outlives us, and nobody here waits for it
    return process.pid, connected


def _wait(pipe: IO[str], folder: EndpointFolder) -> bool:
    if not select.select([pipe], [], [], READY_WITHIN)[0]:
        return False
    said = pipe.readline().strip()
    if said == CONNECTED:
        return True
    if said:
        raise from_document(json.loads(said))
    raise ComputeError(f"the process of endpoint {folder.name} has ended without a word: see {folder.log}")


def main() -> None:
    """Run the process that `start_daemon` starts. Its order is in its standard input, which others do not see."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=StartOrder)
    neutral()
    with open(int(sys.argv[1]), "w", encoding="utf-8") as pipe:

        def connected() -> None:
            _tell(pipe, CONNECTED)

        try:
            run_endpoint(order, lambda: admit(order), connected)
        except ComputeError as error:
            _tell(pipe, json.dumps(error.document()))
            sys.exit(1)


def _tell(pipe: IO[str], text: str) -> None:
    try:
        pipe.write(text + "\n")
        pipe.flush()
    except OSError:  # nobody waits any more
        return
