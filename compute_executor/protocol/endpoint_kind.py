"""The kinds of endpoints, as a client tells them apart."""

from __future__ import annotations

import enum


class EndpointKind(enum.Enum):
    """Kind of what runs the calls, which decides how they travel. The value is its name in errors."""

    OURS = "workers of this package"
    AGENT = "an endpoint of this package"
    STOCK = "a stock Globus Compute endpoint"
    HOSTED = "an endpoint of Globus Compute's own service"
