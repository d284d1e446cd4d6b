"""The forms in which functions and arguments travel, by who runs them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.errors import VersionMismatch
from compute_executor.functions.largest import check_size
from compute_executor.functions.registry import Registry
from compute_executor.functions.remote import EachOf
from compute_executor.serialization import native, stock
from compute_executor.serialization.buffers import Keep
from compute_executor.serialization.by_value import importable
from compute_executor.serialization.large import Content
from compute_executor.serialization.source_function import SourceFunction

MOST_FOR_STOCK = 10_000_000 * 3 // 4
"""Bytes of a function: Globus Compute takes 10 MB of it in base64."""


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


def of_ours_by_source() -> Codec:
    """For workers of this package that have another Python: functions as their source."""

    def dumps(function: Any) -> bytes:
        return native.dumps(_as_source(function))

    return Codec(Registry(dumps), dumps, native.dump_call)


def of_other_python(version: str) -> Codec:
    """For workers of this package that have this version of Python, which is not ours: what is made of bytecode is
    refused before it is sent."""

    def dumps(function: Any) -> bytes:
        inner = function.function if isinstance(function, EachOf) else function
        if getattr(inner, "__code__", None) is not None and not importable(inner):
            raise VersionMismatch(
                f"{getattr(inner, '__name__', 'a function')} travels as bytecode of Python "
                f"{platform.python_version()}, and the workers of the endpoint have Python {version}: use the same "
                "version on both sides, or Executor(..., by_source=True), which sends functions as their source"
            )
        return native.dumps(function)

    return Codec(Registry(dumps), dumps, native.dump_call)


def _as_source(function: Any) -> Any:
    """What travels for a function: what workers have anyway as itself. Raises SerializationError for a function that
    is more than its source."""
    if isinstance(function, EachOf):
        return EachOf(_as_source(function.function))
    return function if importable(function) else SourceFunction(*stock.source_of(function))


def of_stock(by_source: bool = False) -> Codec:
    """For workers of a stock Globus Compute endpoint. ``by_source``: functions as their source."""
    dumps = stock.dumps_as_source if by_source else stock.dumps

    def dump(function: Any) -> bytes:
        stream = dumps(function)
        check_size(getattr(function, "function", function), len(stream), MOST_FOR_STOCK)
        return stream

    return Codec(Registry(dump, there=stock), dump, stock.dump_call)
