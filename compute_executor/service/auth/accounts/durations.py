"""How long something holds, as people write it: ``30d``."""

from __future__ import annotations

import re

from compute_executor.errors import InvalidRequest

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_FORM = re.compile(r"([1-9][0-9]{0,8})([smhdw])")


def seconds(text: str) -> int:
    """Return a whole number and a unit: s, m, h, d or w. Raises InvalidRequest."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"{text[:50]!r} is no duration: a number and s, m, h, d or w are needed, such as 30d"
        )
    return int(found.group(1)) * _SECONDS[found.group(2)]
