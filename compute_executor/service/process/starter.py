"""What a starting service tells whoever started it: that it serves, or why it does not."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Protocol

from compute_executor.errors import ComputeError


class StartListener(Protocol):
    """Who has started a service. Told one of the two, once."""

    def serving(self, url: str) -> None:
        """Note that connections are accepted at this address and the announcement is written."""

    def failed(self, error: ComputeError) -> None:
        """Note that it will not come to that."""


class StartNotifier:
    """A StartListener at the other end of a pipe, told by one JSON object; nobody (``descriptor`` None)."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)  # workers must not keep the pipe open

    def serving(self, url: str) -> None:  # noqa: ARG002 - found in the announcement
        """See StartListener."""
        self._tell({"serving": True})

    def failed(self, error: ComputeError) -> None:
        """See StartListener."""
        self._tell({"error": error.document()})

    def _tell(self, message: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # whoever started us has gone: others find us by the announcement
            os.write(self._descriptor, json.dumps(message).encode())
        os.close(self._descriptor)
        self._descriptor = None
