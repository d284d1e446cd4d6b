"""The forms in which functions and arguments travel, by who runs them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from compute_executor.batch import Target
from compute_executor.errors import VersionMismatch
from compute_executor.functions.largest import check_size
from compute_executor.functions.registry import FunctionRef, Registry
from compute_executor.functions.remote import EachOf, NamedCaller, Stream
from compute_executor.protocol.call_options import replace_option
from compute_executor.serialization import json_form, json_source, native, packing, stock, strict_json
from compute_executor.serialization.buffers import Keep
from compute_executor.serialization.by_value import importable
from compute_executor.serialization.large import Content
from compute_executor.serialization.source_function import SourceFunction

MOST_FOR_STOCK = 10_000_000 * 3 // 4
"""Bytes of a function: Globus Compute takes 10 MB of it in base64."""


class Serializer(Protocol):
    """What programs give as a serializer: `compute_executor.serialize.ComputeSerializer`, or one like it."""

    def serialize(self, data: Any) -> str:
        """Return the text of an object. Raises SerializationError."""
        ...

    def pack_buffers(self, buffers: list[str]) -> str:
        """Return several texts in one."""
        ...


@dataclass(frozen=True)
class Codec:
    """How one kind of worker wants it. ``dump_function`` and ``dump_call`` raise SerializationError; ``keep`` is what
    the latter is given, which makes parts of arguments."""

    registry: Registry
    dump_function: Callable[[Any], bytes]
    dump_call: Callable[[tuple[Any, ...], dict[str, Any], bool, Keep | None], Content]
    keep: Keep | None = None

    def call(self, route: FunctionRef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Content:
        """Return the body of one call. Raises SerializationError."""
        return self.dump_call(route.arguments(args), kwargs, route.is_generic, self.keep)

    def target(self, target: Target) -> Target:
        """``target`` with the options that this form of calls needs."""
        return target


@dataclass(frozen=True)
class JsonCodec(Codec):
    """The form of a client that unpickles nothing: arguments and answers as JSON. ``asks``: whether the endpoint has
    to be asked to write results in it, as stock ones have."""

    asks: bool = False

    def call(self, route: FunctionRef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Content:
        """Return the body of one call. Raises SerializationError that names the argument at fault."""
        call = json_form.checked_calls(args[0]) if route.each else json_form.checked_call(args, kwargs)
        if not route.is_generic:
            return json_form.body(call)
        return self.dump_call((route.subject, strict_json.dumps(call)), {}, True, None)

    def target(self, target: Target) -> Target:
        """``target``, asked for results in JSON."""
        if not self.asks:
            return target
        return replace(
            target, options=replace_option(target.options, "result_serializers", [json_source.STRATEGY])
        )


@dataclass(frozen=True)
class StrategyCodec(Codec):
    """The form of a serializer's strategies. ``base``: the form of what travels on our own behalf, such as a partial,
    which strategies for code do not know."""

    base: Codec | None = None

    def call(self, route: FunctionRef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Content:
        """Return the body of one call. Raises SerializationError."""
        if route.is_generic and self.base is not None:
            return self.base.call(route, args, kwargs)
        return self.dump_call(args, kwargs, False, None)


def by_strategies(base: Codec, serializer: Serializer) -> Codec:
    """For the workers of ``base``, with functions and arguments in the form that a serializer gives them."""
    there = base.registry.there

    def dumps(function: Any) -> bytes:
        if function is there.call or isinstance(function, (NamedCaller, EachOf, stock.EachOf)):
            return base.dump_function(function)
        return packing.function_from_text(serializer.pack_buffers([serializer.serialize(function)]))

    def dump_call(
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        generic: bool,  # noqa: ARG001 - such calls are those of `base`
        keep: Keep | None,  # noqa: ARG001 - text has no parts
    ) -> Content:
        texts = [serializer.serialize(args), serializer.serialize(kwargs)]
        return packing.call_from_text(serializer.pack_buffers(texts))

    return StrategyCodec(Registry(dumps, there=there), dumps, dump_call, base=base)


def native_codec(
    of_function: Keep | None = None, of_argument: Keep | None = None, *, follows_path: bool = False
) -> Codec:
    """For workers of this package. ``of_function``, ``of_argument``: make parts of the large buffers of either.
    ``follows_path``: the workers are this program's own, on this machine."""
    registry = Registry(
        lambda function: native.dump_function(function, of_function), follows_path=follows_path
    )
    return Codec(registry, native.dumps, native.dump_call, of_argument)


def of_ours_by_source() -> Codec:
    """For workers of this package that have another Python: functions as their source."""

    def dumps(function: Any) -> bytes:
        return native.dumps(_as_source(function))

    return Codec(Registry(dumps), dumps, native.dump_call)


def codec_for_python(version: str) -> Codec:
    """For workers of this package that have this version of Python, which is not ours: what is made of bytecode is
    refused before it is sent."""

    def dumps(function: Any) -> bytes:
        inner = function.function if isinstance(function, (EachOf, json_form.InJson)) else function
        if getattr(inner, "__code__", None) is not None and not importable(inner):
            raise VersionMismatch(
                f"{getattr(inner, '__name__', 'a function')} travels as bytecode of Python "
                f"{platform.python_version()}, and the workers of the endpoint have Python {version}: use the same "
                "version on both sides, or Executor(..., by_source=True), which sends functions as their source"
            )
        return native.dumps(function)

    return Codec(Registry(dumps), dumps, native.dump_call)


def _as_source(function: Any) -> Any:
    """Return what travels for a function: what workers have anyway as itself. Raises SerializationError for a
    function that is more than its source."""
    if isinstance(function, (EachOf, json_form.InJson)):
        return type(function)(_as_source(function.function))
    is_ours = importable(function) or isinstance(function, NamedCaller)
    return function if is_ours else SourceFunction(*stock.source_of(function))


def globus_codec(by_source: bool = False) -> Codec:
    """For workers of a stock Globus Compute endpoint. ``by_source``: functions as their source."""
    dumps = stock.dumps_as_source if by_source else stock.dumps

    def dump(function: Any) -> bytes:
        stream = dumps(function)
        check_size(getattr(function, "function", function), len(stream), MOST_FOR_STOCK)
        return stream

    return Codec(Registry(dump, there=stock), dump, stock.dump_call)


class JsonRemote:
    """What runs on our behalf in workers of this package, with answers in JSON. Implements `registry.Remote`."""

    @property
    def call(self) -> Any:
        """See Remote."""
        return json_form.call

    def named(self, _name: str) -> Any:
        """See Remote."""
        return json_form.call

    @property
    def EachOf(self) -> Callable[[Any], Any]:
        """See Remote."""
        return json_form.EachOf

    @property
    def Stream(self) -> Callable[[bytes], Any]:
        """See Remote."""
        return Stream


def in_json(codec: Codec) -> Codec:
    """For the same workers of this package, with arguments and answers in JSON."""

    def dumps(function: Any) -> bytes:
        return codec.dump_function(
            function if isinstance(function, json_form.InJson) else json_form.InJson(function)
        )

    return JsonCodec(Registry(dumps, there=JsonRemote()), dumps, codec.dump_call)


def in_json_of_stock(by_source: bool = False) -> Codec:
    """For workers of a stock Globus Compute endpoint, with arguments and answers in JSON."""
    write = stock.dumps_in_json_as_source if by_source else stock.dumps_in_json

    def dumps(function: Any) -> bytes:
        each = isinstance(function, stock.EachOf)
        inner = function.function if isinstance(function, stock.EachOf) else function
        stream = write(inner, each=each)
        check_size(inner, len(stream), MOST_FOR_STOCK)
        return stream

    return JsonCodec(Registry(dumps, there=stock), dumps, stock.dump_call, asks=True)
