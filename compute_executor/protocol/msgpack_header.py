"""How many entries a msgpack list or mapping has, without reading it (the msgpack specification, "Formats")."""

from __future__ import annotations


def entries(value: bytes) -> int | None:
    r"""Return the entries that the list or mapping has which begins so; None if it is neither.

    >>> entries(b"\x93\x01\x02\x03"), entries(b"\xdd\x00\x01\x00\x00"), entries(b"\xc4\x01x")
    (3, 65536, None)
    """
    first = value[0] if value else 0xC0
    if first & 0xF0 in (0x80, 0x90):
        return first & 0x0F
    if first in (0xDC, 0xDE):
        return int.from_bytes(value[1:3], "big")
    if first in (0xDD, 0xDF):
        return int.from_bytes(value[1:5], "big")
    return None
