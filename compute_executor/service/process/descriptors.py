"""How many files this process may have open, and how many of them connections may be."""

from __future__ import annotations

import logging
import resource

log: logging.Logger = logging.getLogger(__name__)

DESCRIPTORS = 65_536
"""Of this process, at most. Whoever wants to close all there may be, as daemon code does, counts up to the limit."""
MOST = 16_384
"""Connections, at most: with some 40 KiB for a stream that idles, 640 MiB."""


def raise_limit() -> int:
    """Let this process, and the workers that it starts, have as many open files as the system lets it have without
    asking: the usual 1,024, or 256 on macOS, are few. How many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # macOS has a lower bound than it says
            log.warning("no more than %d files can be open: %s", soft, error)
            return soft
    return max(soft, wanted)


def most_connections(descriptors: int) -> int:
    """Return connections that are held, of a process that may have so many descriptors: of few a half, of many nearly
    three of four. Workers, the store and large bodies need descriptors, too.

    >>> most_connections(128), most_connections(1024), most_connections(65_536)
    (64, 704, 16384)
    """
    return min(MOST, max(descriptors // 2, descriptors * 3 // 4 - 64))
