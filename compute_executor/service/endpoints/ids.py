"""The endpoint that every service has built in, and what its id may be called."""

from __future__ import annotations

import uuid

BUILT_IN = uuid.UUID("c0de0000-0000-8000-8000-00000000c0de")
"""The same on every service: a program that names it runs anywhere."""

TUTORIAL = uuid.UUID("4b116d3c-1703-4f8f-9f6f-39921e5864df")
"""Globus Compute's public endpoint of the user guide; its examples mean the built-in one here."""


def is_built_in(endpoint_id: uuid.UUID) -> bool:
    """Return whether the built-in endpoint is meant by this id."""
    return endpoint_id in (BUILT_IN, TUTORIAL)
