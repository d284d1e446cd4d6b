"""What Python and dill a worker has, and whether that is what is here. Said once per endpoint, in a warning."""

from __future__ import annotations

import logging
import platform
import warnings
from typing import Any

log: logging.Logger = logging.getLogger(__name__)


class VersionsDiffer(UserWarning):
    """Worker and client have other versions of Python or dill: what one writes the other may fail to read."""


def here() -> dict[str, str]:
    """Return the versions of this process, under the names that results have."""
    import dill  # 50 ms; whoever asks has read a dill stream

    return {"python_version": platform.python_version(), "dill_version": str(dill.__version__)}


def difference(there: dict[str, Any] | None) -> str | None:
    """In which versions a worker differs from this process, in words; None if it does not, or does not say.

    Of Python the first two numbers count: its bytecode is the same within them.
    """
    if not there:
        return None
    ours = here()
    differing = [
        f"{label} {there[name]} there, {ours[name]} here"
        for name, label, parts in (("python_version", "Python", 2), ("dill_version", "dill", 3))
        if there.get(name) and _head(str(there[name]), parts) != _head(ours[name], parts)
    ]
    return "; ".join(differing) or None


def met(there: dict[str, Any] | None) -> str:
    """Return which versions met, for the error of a result that cannot be read."""
    ours = here()
    theirs = there or {}
    return (
        f"The worker has Python {theirs.get('python_version', '(unknown)')} with dill "
        f"{theirs.get('dill_version', '(unknown)')}, here are Python {ours['python_version']} with dill "
        f"{ours['dill_version']}"
    )


_told: dict[str, dict[str, Any]] = {}
"""What was told of the workers of endpoints, by id, in this process: any thread puts and gets whole values."""


def told(endpoint_id: str) -> dict[str, Any] | None:
    """Return what was last told of the workers of an endpoint; None if nothing was."""
    return _told.get(endpoint_id)


def other_python(endpoint_id: str) -> str:
    """Return the version of Python that the workers of an endpoint were told to have, if bytecode of this one is not
    theirs; else nothing."""
    version = str((_told.get(endpoint_id) or {}).get("python_version") or "")
    return version if version and _head(version, 2) != _head(platform.python_version(), 2) else ""


class Versions:
    """Which endpoints have been looked at. Owner: whoever ends futures."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check(self, endpoint_id: str, details: dict[str, Any] | None) -> None:
        """Warn, once per endpoint, if its workers' versions are not those here."""
        if details:
            _told[endpoint_id] = details
        if not details or endpoint_id in self._seen:
            return
        self._seen.add(endpoint_id)
        found = difference(details)
        if found is None:
            return
        message = (
            f"the workers of endpoint {endpoint_id} have other versions: {found}. Functions and results may fail to "
            "be read; Executor(by_source=True) sends functions as source, which needs no common Python"
        )
        try:
            warnings.warn(message, VersionsDiffer, stacklevel=2)
        except VersionsDiffer:  # warnings are errors here; nobody would catch it on this thread
            log.warning(message)


def _head(version: str, parts: int) -> list[str]:
    return version.split(".")[:parts]
