"""The forms in which functions and arguments travel, by who runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.functions.registry import Registry
from compute_executor.serialization import native, stock
from compute_executor.serialization.buffers import Keep
from compute_executor.serialization.large import Content


class Codec(NamedTuple):
    """How one kind of worker wants it. ``dump_function`` and ``dump_call`` raise SerializationError; ``keep`` is what
    the latter is given, which makes parts of arguments."""

    registry: Registry
    dump_function: Callable[[Any], bytes]
    dump_call: Callable[[tuple[Any, ...], dict[str, Any], bool, Keep | None], Content]
    keep: Keep | None = None


def of_ours(of_function: Keep | None = None, of_argument: Keep | None = None) -> Codec:
    """For workers of this package. ``of_function``, ``of_argument``: make parts of the large buffers of either."""
    registry = Registry(lambda function: native.dump_function(function, of_function))
    return Codec(registry, native.dumps, native.dump_call, of_argument)


def of_stock(by_source: bool = False) -> Codec:
    """For workers of a stock Globus Compute endpoint. ``by_source``: functions as their source."""
    dumps = stock.dumps_as_source if by_source else stock.dumps
    return Codec(Registry(dumps, there=stock), dumps, stock.dump_call)
