"""Arguments of a call that are handed over in a sequence and a mapping, by people who make mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compute_executor.errors import InvalidArgument


def positional(args: Any) -> tuple[Any, ...]:
    """Return what is passed by position; None for nothing. Raises InvalidArgument for what is no sequence of
    arguments."""
    if args is None:
        return ()
    if isinstance(args, Sequence) and not isinstance(args, (str, bytes, bytearray, memoryview)):
        return tuple(args)
    raise InvalidArgument(
        f"args must be a sequence (list, tuple) of arguments, not {type(args).__name__}: {args!r:.100}"
    )


def named(kwargs: Any) -> dict[str, Any]:
    """Return what is passed by name; None for nothing. Raises InvalidArgument for what is no mapping from names."""
    if kwargs is None:
        return {}
    if isinstance(kwargs, Mapping):
        other = [name for name in kwargs if not isinstance(name, str)]
        if not other:
            return dict(kwargs)
        raise InvalidArgument(
            f"kwargs must have the names of arguments as keys, not {type(other[0]).__name__}: {other[0]!r:.100}"
        )
    raise InvalidArgument(
        f"kwargs must be a mapping from names to arguments, not {type(kwargs).__name__}: {kwargs!r:.100}"
    )
