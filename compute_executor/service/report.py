"""What a starting service tells whoever started it, over a pipe: that it serves, or why it does not."""

from __future__ import annotations

import contextlib
import json
import os

from compute_executor.errors import ComputeError


class Report:
    """One JSON object, once; nothing if there is nobody to tell (``descriptor`` None)."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)  # workers must not keep the pipe open

    def serving(self) -> None:
        """Connections are accepted and the announcement is written."""
        self._tell({"serving": True})

    def failed(self, error: ComputeError) -> None:
        """It will not come to that."""
        self._tell({"error": error.document()})

    def _tell(self, message: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # whoever started us has gone: others find us by the announcement
            os.write(self._descriptor, json.dumps(message).encode())
        os.close(self._descriptor)
        self._descriptor = None
