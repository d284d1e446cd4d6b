"""Sizes of memory and of files as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp])(i?b)?", re.IGNORECASE)
_POWER = {letter: power for power, letter in enumerate("KMGTP", 1)}


def bytes_of(text: str) -> int:
    """Return the bytes of a size: a number and a unit. "8GB" is 8 * 10^9; "8GiB", and "8G" as ``df -h`` and Slurm
    write it, are 8 * 2^30. Raises ValueError.

    >>> bytes_of("8GB"), bytes_of("1.5 GiB"), bytes_of("8G")
    (8000000000, 1610612736, 8589934592)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'{text!r:.100} is no size such as "8GB" (8 * 10^9) or "8GiB" (8 * 2^30)')
    base = 1000 if (found[3] or "").upper() == "B" else 1024
    return int(float(found[1]) * base ** _POWER[found[2].upper()])
