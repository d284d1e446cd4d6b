"""The forms in which functions and arguments travel, by who runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.functions.registry import Registry
from compute_executor.serialization import native, stock
from compute_executor.serialization.large import Content


class Codec(NamedTuple):
    """How one kind of worker wants it. ``dump_function`` and ``dump_call`` raise SerializationError."""

    registry: Registry
    dump_function: Callable[[Any], bytes]
    dump_call: Callable[[tuple[Any, ...], dict[str, Any], bool], Content]


def of_ours() -> Codec:
    """For workers of this package."""
    return Codec(Registry(native.dumps), native.dumps, native.dump_call)


def of_stock(by_source: bool = False) -> Codec:
    """For workers of a stock Globus Compute endpoint. ``by_source``: functions as their source."""
    dumps = stock.dumps_as_source if by_source else stock.dumps
    return Codec(Registry(dumps, there=stock), dumps, stock.dump_call)
