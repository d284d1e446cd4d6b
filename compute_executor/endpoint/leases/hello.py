"""What a process that takes tasks says of itself when it connects."""

from __future__ import annotations

import os
import platform
import time

from compute_executor._version import __version__
from compute_executor.endpoint.leases import frames


def hello_of(
    machine: str, generation: int, host: str, engine: str, *, join: bool, replace: bool, label: str = ""
) -> frames.HolderHello:
    """Return what this process says of itself."""
    return frames.HolderHello(
        frames.PROTOCOL,
        __version__,
        platform.python_version(),
        machine,
        generation,
        host,
        time.time(),
        os.getpid(),
        engine,
        join,
        replace,
        label,
    )
