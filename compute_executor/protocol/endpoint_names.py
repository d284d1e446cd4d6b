"""The names of endpoints of this package, which are never mistaken for ids."""

from __future__ import annotations

import re
import uuid

LONGEST = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

RULE = f"letters, digits, '.', '_' and '-', {LONGEST} at most, the first a letter or digit, and no UUID"


def is_endpoint_name(value: object) -> bool:
    """Return whether this can be the name of an endpoint.

    >>> is_endpoint_name("workstation"), is_endpoint_name("4b116d3c-1703-4f8f-9f6f-39921e5864df")
    (True, False)
    >>> is_endpoint_name("no name"), is_endpoint_name("../x"), is_endpoint_name(4)
    (False, False, False)
    """
    if not isinstance(value, str) or len(value) > LONGEST or not _NAME.fullmatch(value):
        return False
    try:
        uuid.UUID(value)
    except ValueError:
        return True
    return False
