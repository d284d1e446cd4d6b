"""Attributes of an Executor that are given when it is made: reading them works, setting them says what to do instead.

Programs for the Globus Compute SDK set some of them between submits; a value that was taken and then ignored would be
the worst answer.
"""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar, overload

from typing_extensions import Never

T = TypeVar("T")


class FixedAttribute(Generic[T]):
    """Attribute that cannot be set. ``advice`` ends the error. ``kept``: the name under which the value lies, or None
    for an attribute that an Executor does not have."""

    def __init__(self, advice: str, kept: str | None = None) -> None:
        self._advice = advice
        self._kept = kept

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> FixedAttribute[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        if self._kept is None:
            raise AttributeError(f"an Executor has no {self._name}: {self._advice}")
        return getattr(instance, self._kept)

    def __set__(self, instance: object, value: Never) -> NoReturn:
        raise AttributeError(f"{self._name} of an Executor cannot be set: {self._advice}")
