"""Numbers that are no int and no float, as those of numpy are, without numpy."""

from __future__ import annotations


class WholeNumber:
    """As ``numpy.int64``."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class RealNumber:
    """As ``numpy.float32``."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return float(self._value)
