"""Which failures are alike: the text of an error without what varies from one call to the next."""

from __future__ import annotations

import re

_VARYING = re.compile(r"0x[0-9a-fA-F]+|[-+]?\d[\d.]*(?:[eE][-+]?\d+)?|'[^']*'|\"[^\"]*\"")

_LONGEST = 300
"""Characters of an error that are compared."""


def kind_of_failure(error: str) -> str:
    """Return what failures that are alike share: the error without its numbers and quoted values.

    >>> kind_of_failure("ValueError: 17 is odd"), kind_of_failure("KeyError: 'b'")
    ('ValueError: # is odd', 'KeyError: #')
    """
    return _VARYING.sub("#", error)[:_LONGEST]
