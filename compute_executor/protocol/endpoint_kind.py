"""The kinds of endpoints, as a client tells them apart."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

AGENTS = "compute_executor"
"""How a service of ours names the kind of endpoints of this package."""


class EndpointKind(enum.Enum):
    """Kind of what runs the calls, which decides how they travel. The value is its name in errors."""

    OURS = "workers of this package"
    AGENT = "an endpoint of this package"
    STOCK = "a stock Globus Compute endpoint"
    HOSTED = "an endpoint of Globus Compute's own service"


def kind_of(document: Mapping[str, Any]) -> EndpointKind:
    """Return the kind of an endpoint by what a service of ours says of it."""
    if document.get("built_in"):
        return EndpointKind.OURS
    return EndpointKind.AGENT if document.get("kind") == AGENTS else EndpointKind.STOCK
