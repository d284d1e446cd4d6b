"""Classes of the Globus Compute SDK in streams of its peers: commands as functions, and what commands have returned.

Here they are read as our own classes, which have the same names and attributes: the SDK need not be installed.
"""

from __future__ import annotations

import io
from typing import Any

MARK = b"globus_compute_sdk.sdk."
"""In a stream that may have some."""

OURS = "compute_executor.sdk.shell_function"
_MODULES = ("globus_compute_sdk.sdk.shell_function", "globus_compute_sdk.sdk.mpi_function")
_NAMES = ("ShellFunction", "ShellResult", "MPIFunction")


def load(stream: bytes | memoryview) -> Any:
    """Return the object of a stream that a stock peer has written."""
    import dill  # 50 ms; only streams of stock peers need it

    class Unpickler(dill.Unpickler):  # type: ignore[misc]  # dill has no types
        """Finds our classes in place of the SDK's."""

        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(OURS if module in _MODULES and name in _NAMES else module, name)

    return Unpickler(io.BytesIO(stream)).load()
