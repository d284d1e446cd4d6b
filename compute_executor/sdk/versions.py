"""Whether a service and this client understand each other, by the service's version document.

A stock service names the oldest SDK that it serves, and the stock SDK raises VersionMismatch if it is older than
that. A service of this package names the protocol of its frames besides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compute_executor._version import __version__
from compute_executor.errors import VersionMismatch
from compute_executor.protocol.frames import PROTOCOL

STOCK_SDK = "4.19.0"
"""The globus-compute-sdk whose requests and answers are those that we make and read."""


def check(document: Mapping[str, Any], address: str) -> None:
    """Raise VersionMismatch, with both versions, if the service at ``address`` asks for what this client is not."""
    if "compute_executor" in document:
        spoken = document.get("protocol", PROTOCOL)
        if spoken != PROTOCOL:
            raise VersionMismatch(
                f"the service at {address} (compute_executor {document['compute_executor']}) speaks protocol "
                f"{spoken}, this client (compute_executor {__version__}) speaks {PROTOCOL}: update the older one"
            )
        return
    oldest = str(document.get("min_sdk_version", "0"))
    if _release(oldest) > _release(STOCK_SDK):
        raise VersionMismatch(
            f"the service at {address} serves globus-compute-sdk {oldest} and later; this client (compute_executor "
            f"{__version__}) speaks as {STOCK_SDK} does: update compute_executor"
        )


def check_endpoint(document: Mapping[str, Any], address: str, version: str) -> None:
    """Raise VersionMismatch if the service at ``address`` serves no endpoints of this ``version``."""
    oldest = str(document.get("min_ep_version", "0"))
    if _release(oldest) > _release(version):
        raise VersionMismatch(
            f"the service at {address} serves globus-compute-endpoint {oldest} and later, not {version}"
        )


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, without zeros at their end.

    >>> _release("4.19.0rc1"), _release("nonsense")
    ((4, 19), ())
    """
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
