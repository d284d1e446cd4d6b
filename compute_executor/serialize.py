"""Serialization as in ``globus_compute_sdk.serialize`` 4.19: the same names, over the buffer methods of this package.

A strategy turns objects into text that begins with its identifier, and back (`serialization.strategies` has the
table). A `ComputeSerializer` has one for code and one for data; with an allow list it reads nothing else: with
`JSONData` alone for data, no result is ever unpickled. (Reading code of any strategy runs it.)
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, ClassVar, NamedTuple

from compute_executor.errors import ComputeError, DeserializationError, SerdeError, SerializationError
from compute_executor.serialization import packing, strategies

__all__ = [
    "DEFAULT_STRATEGY_CODE",
    "DEFAULT_STRATEGY_DATA",
    "AllCodeStrategies",
    "AllDataStrategies",
    "AllowlistWildcard",
    "CombinedCode",
    "ComboSerializationStrategy",
    "ComputeSerializer",
    "DillCode",
    "DillCodeSource",
    "DillCodeTextInspect",
    "DillDataBase64",
    "JSONData",
    "PureSourceDill",
    "PureSourceTextInspect",
    "SerializationStrategy",
]

IDENTIFIER_LENGTH = 3
"""Two characters and a newline."""

SDK_MODULE = "globus_compute_sdk.serialize.concretes"
"""Where endpoints find the strategies: paths that are sent to them begin with it."""


class SerializationStrategy(ABC):
    """A way to turn objects into text and back. ``identifier``: two characters and a newline, with which the text
    begins. ``for_code``: whether it is for callables, or for all else."""

    _known: ClassVar[dict[str, SerializationStrategy]] = {}
    identifier: ClassVar[str]
    for_code: ClassVar[bool]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "identifier"):
            return
        if len(cls.identifier) != IDENTIFIER_LENGTH or cls.identifier[-1] != "\n":
            raise ValueError(f"an identifier is two characters and a newline, not {cls.identifier!r}")
        taken = SerializationStrategy._known.get(cls.identifier)
        if taken is not None:
            raise ValueError(f"identifier {cls.identifier!r} is that of {type(taken).__name__}")
        SerializationStrategy._known[cls.identifier] = cls()

    @classmethod
    def get_cached_by_id(cls, identifier: str) -> SerializationStrategy | None:
        """Return the strategy with this identifier."""
        return cls._known.get(identifier)

    @classmethod
    def get_cached_by_class(cls, type_: type[SerializationStrategy]) -> SerializationStrategy:
        """Return the one instance of a strategy."""
        return cls._known[type_.identifier]

    @abstractmethod
    def serialize(self, data: Any) -> str:
        """Return the text of an object."""

    @abstractmethod
    def deserialize(self, payload: str) -> Any:
        """Return the object of a text that :meth:`serialize` made."""

    def chomp(self, payload: str) -> str:
        """Return a text without its identifier. Raises DeserializationError if it has another."""
        if not payload.startswith(self.identifier):
            raise DeserializationError(f"Buffer does not start with identifier:{self.identifier}")
        return payload[IDENTIFIER_LENGTH:]


class ComboSerializationStrategy(SerializationStrategy, ABC):
    """Several strategies in one text: what each that can makes of the object. The first that can be read counts."""

    strategies: ClassVar[list[type[SerializationStrategy]]]

    def serialize(self, data: Any) -> str:
        """Return the text of an object. Raises SerializationError if no strategy can make one."""
        made, failures = [], []
        for kind in self.strategies:
            try:
                made.append(self.get_cached_by_class(kind).serialize(data))
            except Exception as error:
                failures.append(f"{kind.__name__}: {error}")
        if not made:
            raise SerializationError("\n* ".join(["\n\nSerialization errors:", *failures]))
        return self.identifier + packing.pack(made)

    def deserialize(self, payload: str) -> Any:
        """Return the object of a text. Raises DeserializationError if no strategy can read its part."""
        failures = []
        for buffer in packing.unpack(self.chomp(payload)):
            strategy = self.get_cached_by_id(buffer[:IDENTIFIER_LENGTH])
            if strategy is None:
                failures.append(f"Invalid strategy identifier: {buffer[:2]}")
                continue
            try:
                return strategy.deserialize(buffer)
            except Exception as error:
                failures.append(f"{type(strategy).__name__}: {error}")
        raise DeserializationError("\n* ".join(["\n\nDeserialization errors:", *failures]))


class _BufferMethod(SerializationStrategy):
    """A strategy that is a method of `serialization.strategies`."""

    def serialize(self, data: Any) -> str:
        """Return the text of an object. Raises SerializationError."""
        return strategies.dumps(data, self.identifier[:2])

    def deserialize(self, payload: str) -> Any:
        """Return the object of a text. Raises DeserializationError."""
        self.chomp(payload)
        try:
            return strategies.loads(payload)
        except ComputeError as error:
            raise DeserializationError(error.message) from error


class DillDataBase64(_BufferMethod):
    """Data as a dill stream in base64; the default."""

    identifier = "00\n"
    for_code = False


class JSONData(_BufferMethod):
    """Data as JSON: nothing is unpickled, and nothing but what JSON knows can travel."""

    identifier = "11\n"
    for_code = False


class DillCode(_BufferMethod):
    """Functions as dill streams in base64; the default."""

    identifier = "01\n"
    for_code = True


class PickleCode(_BufferMethod):
    """Functions as pickle streams; only read."""

    identifier = "02\n"
    for_code = True


class DillCodeTextInspect(_BufferMethod):
    """Functions as their source, found by inspect, in a dill stream."""

    identifier = "03\n"
    for_code = True


class DillCodeSource(_BufferMethod):
    """Functions as their source, found by dill, in a dill stream."""

    identifier = "04\n"
    for_code = True


class CombinedCode(_BufferMethod):
    """Functions in several of the other ways at once, the older form of it."""

    identifier = "10\n"
    for_code = True


class PureSourceTextInspect(_BufferMethod):
    """Functions as their source, found by inspect."""

    identifier = "st\n"
    for_code = True


class PureSourceDill(_BufferMethod):
    """Functions as their source, found by dill."""

    identifier = "sd\n"
    for_code = True


class AllCodeStrategies(ComboSerializationStrategy):
    """Functions as source and as dill streams."""

    identifier = "12\n"
    for_code = True
    strategies: ClassVar[list[type[SerializationStrategy]]] = [
        PureSourceTextInspect,
        PureSourceDill,
        DillCode,
    ]


class AllDataStrategies(ComboSerializationStrategy):
    """Data as JSON and as dill streams."""

    identifier = "13\n"
    for_code = False
    strategies: ClassVar[list[type[SerializationStrategy]]] = [JSONData, DillDataBase64]


SELECTABLE_STRATEGIES: list[type[SerializationStrategy]] = [
    *(DillDataBase64, JSONData, DillCodeSource, DillCodeTextInspect, PickleCode, DillCode),
    *(PureSourceTextInspect, PureSourceDill, CombinedCode, AllCodeStrategies, AllDataStrategies),
]
"""Those that a user may choose: endpoints know no others."""

DEFAULT_STRATEGY_CODE = SerializationStrategy.get_cached_by_class(DillCode)
DEFAULT_STRATEGY_DATA = SerializationStrategy.get_cached_by_class(DillDataBase64)

Strategylike = SerializationStrategy | type[SerializationStrategy] | str
"""A strategy, its class, or an import path of either."""


class AllowlistWildcard(str, Enum):
    """All strategies of a kind, in an allow list."""

    CODE = "globus_compute_sdk.*Code"
    DATA = "globus_compute_sdk.*Data"


class ValidatedStrategylike(NamedTuple):
    """A strategy that endpoints know. ``import_path``: where they find it."""

    type_: type[SerializationStrategy]
    instance: SerializationStrategy
    import_path: str


def validate_strategylike(value: Strategylike, *, for_code: bool | None = None) -> ValidatedStrategylike:
    """Return the strategy that is meant. ``for_code``: which kind it must be. Raises SerdeError for any other."""
    found = _imported(value) if isinstance(value, str) else value
    kind = found if isinstance(found, type) else type(found)
    if not issubclass(kind, SerializationStrategy):
        raise _no_strategy(value)
    if for_code is not None and kind.for_code != for_code:
        expected, given = ("code", "data") if for_code else ("data", "code")
        raise SerdeError(
            f"{kind.__name__} is a {given} serialization strategy, expected a {expected} strategy."
        )
    if kind not in SELECTABLE_STRATEGIES:
        raise SerdeError(f"{kind.__name__} is not a known serialization strategy.")
    path = f"{SDK_MODULE}.{kind.__name__}"
    return ValidatedStrategylike(kind, SerializationStrategy.get_cached_by_class(kind), path)


def _imported(path: str) -> object:
    """Return what an import path names; one into the SDK is the class of that name here."""
    module, _, name = path.rpartition(".")
    if module.startswith("globus_compute_sdk"):
        module = __name__
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise _no_strategy(path) from error


def _no_strategy(value: object) -> SerdeError:
    return SerdeError(
        f"Invalid strategy-like '{value}'. Expected either a SerializationStrategy instance, a subclass of "
        "SerializationStrategy, or an import path to one."
    )


def parse_allowlist(
    allowed: Iterable[Strategylike | AllowlistWildcard] | None,
) -> set[type[SerializationStrategy]]:
    """Return the strategies of an allow list; empty if all are allowed. Raises SerdeError for a list that names no
    code or no data strategy, or one beside the wildcard of its kind."""
    given = list(allowed or ())
    if not given:
        return set()
    wildcards = {one for one in AllowlistWildcard if one in given}
    named = {validate_strategylike(one).type_ for one in given if one not in wildcards}
    for wildcard in wildcards:
        for_code = wildcard is AllowlistWildcard.CODE
        if any(one.for_code == for_code for one in named):
            raise SerdeError(f"Cannot mix '{wildcard.value}' with specific deserializers (got {given})")
        named.update(one for one in SELECTABLE_STRATEGIES if one.for_code == for_code)
    if len({one.for_code for one in named}) != 2:
        raise SerdeError(
            "Deserialization allowlists must contain at least one code and one data deserializer/wildcard "
            f"(got: {given})"
        )
    return named


class ComputeSerializer:
    """Objects to text and back, by a strategy for code and one for data. ``allowed_deserializer_types``: strategies
    that may be read; with none given, all. Raises SerdeError for what is no strategy."""

    def __init__(
        self,
        strategy_code: Strategylike | None = None,
        strategy_data: Strategylike | None = None,
        *,
        allowed_deserializer_types: Iterable[Strategylike | AllowlistWildcard] | None = None,
    ) -> None:
        self.code_serializer: SerializationStrategy = (
            DEFAULT_STRATEGY_CODE
            if strategy_code is None
            else validate_strategylike(strategy_code, for_code=True).instance
        )
        self.data_serializer: SerializationStrategy = (
            DEFAULT_STRATEGY_DATA
            if strategy_data is None
            else validate_strategylike(strategy_data, for_code=False).instance
        )
        self.allowed_deserializer_types: set[type[SerializationStrategy]] = parse_allowlist(
            allowed_deserializer_types
        )

    @staticmethod
    def serialize_from_list(data: Any, strategies: Iterable[Strategylike]) -> str:
        """Return the text by the first strategy of a list that can make one. Raises SerializationError if none
        can."""
        failures = []
        for strategy in strategies or [DEFAULT_STRATEGY_DATA, DEFAULT_STRATEGY_CODE]:
            try:
                return validate_strategylike(strategy, for_code=callable(data)).instance.serialize(data)
            except Exception as error:
                failures.append(str(error))
        raise SerializationError("\n* ".join(["All strategies failed.", *failures]))

    def serialize(self, data: Any) -> str:
        """Return the text of an object. Raises SerializationError."""
        kind, strategy = ("Code", self.code_serializer) if callable(data) else ("Data", self.data_serializer)
        try:
            return strategy.serialize(data)
        except Exception as error:
            raise SerializationError(
                f"{kind} serialization strategy {type(strategy).__name__} failed: {error}"
            ) from error

    def deserialize(self, payload: str) -> Any:
        """Return the object of a text. Raises DeserializationError for one that begins with no identifier, is of a
        strategy that is not allowed, or cannot be read."""
        strategy = SerializationStrategy.get_cached_by_id(payload[:IDENTIFIER_LENGTH])
        if strategy is None:
            raise DeserializationError(f"Invalid header: {payload[:IDENTIFIER_LENGTH]} in data payload")
        self.assert_deserializer_allowed(strategy)
        return strategy.deserialize(payload)

    @staticmethod
    def pack_buffers(buffers: list[str]) -> str:
        """Return several texts in one."""
        return packing.pack(buffers)

    @staticmethod
    def unpack_buffers(packed_buffer: str) -> list[str]:
        """Return the texts in one that :meth:`pack_buffers` made."""
        return packing.unpack(packed_buffer)

    def unpack_and_deserialize(self, packed_buffer: str) -> list[Any]:
        """Return the three objects in a packed text. Raises AssertionError if it holds another number."""
        found = [self.deserialize(buffer) for buffer in packing.unpack(packed_buffer)]
        if len(found) != 3:
            raise AssertionError(f"Unpack expects 3 buffers, got {len(found)}")
        return found

    def check_strategies(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Function, arguments and keyword arguments of a call, after the way there and back. Raises
        SerializationError or DeserializationError where the strategies cannot take them."""
        try:
            packed = self.pack_buffers([self.serialize(one) for one in (function, args, kwargs)])
        except Exception as error:
            raise SerializationError(f"check_strategies failed to serialize: {error}") from error
        try:
            return self.unpack_and_deserialize(packed)
        except Exception as error:
            raise DeserializationError(f"check_strategies failed to deserialize: {error}") from error

    def assert_deserializer_allowed(self, strategy: SerializationStrategy) -> None:
        """Raise DeserializationError if there is an allow list, and the strategy is not on it. One that combines
        others stands for all of them."""
        allowed = self.allowed_deserializer_types
        if not allowed or type(strategy) in allowed:
            return
        kind, what = ("Code", "function") if strategy.for_code else ("Data", "arguments")
        names = ", ".join(sorted(one.__name__ for one in allowed))
        raise DeserializationError(
            f"{kind} serializer {type(strategy).__name__} disabled by current configuration. The current "
            f"configuration requires the *{what}* to be serialized with one of the allowed {kind} classes. Allowed "
            f"serializers: {names}"
        )
