"""An exception in parts: its class, what the builtin class below it was made from, its attributes.

Pickle makes an exception again by calling its class with its ``args``. Where the class has an ``__init__`` of its
own, that is another call than the one which made it: it fails, or gives another text. From its parts it is made
without that.
Standard library only: workers use this.
"""

from __future__ import annotations

import contextlib
from types import MemberDescriptorType
from typing import Any

_HEAP_TYPE = 1 << 9


def reduce(error: BaseException) -> tuple[Any, ...] | None:
    """Return what makes an exception again that is a value or an argument, with its causes; None: pickle does it
    right."""
    if _says_how(error):
        return _as_it_says(error)
    if not (has_own_init(error) or _has_chain(error) or forgotten(error)):
        return None
    slots = {name: getattr(error, name) for name in slots_of(error)} | forgotten(error)
    chain = error.__cause__, error.__context__, error.__suppress_context__
    state = error.args, dict(vars(error)), slots, chain
    return make, (type(error), *arguments(error)), state, None, None, fill


class Told:
    """Pickles as an exception whose class says how, without what that leaves out."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return self.error.__reduce_ex__(5)


def _as_it_says(error: BaseException) -> tuple[Any, ...] | None:
    notes = getattr(error, "__notes__", None)
    if not (notes or _has_chain(error)):
        return None
    chain = error.__cause__, error.__context__, error.__suppress_context__
    return with_notes, (Told(error), notes), chain, None, None, set_chain


def with_notes(error: BaseException, notes: list[str] | None) -> BaseException:
    """``error`` with its notes, where its class did not think of them."""
    if notes and not hasattr(error, "__notes__"):
        set_part(error, "__notes__", list(notes))
    return error


def _has_chain(error: BaseException) -> bool:
    return error.__suppress_context__ or error.__cause__ is not None or error.__context__ is not None


def has_own_init(error: BaseException) -> bool:
    """Return whether making it from its ``args`` would run code of the program's, which may take others than those,
    and whose class does not say how it is pickled."""
    kind: Any = type(error)
    base = _builtin_base(kind)
    own = any(getattr(kind, name) is not getattr(base, name) for name in ("__init__", "__new__"))
    return own and not _says_how(error)


def _says_how(error: BaseException) -> bool:
    """Return whether its class says how it is pickled."""
    kind: Any = type(error)
    base = _builtin_base(kind)
    return any(
        getattr(kind, name, None) is not getattr(base, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    )


def arguments(error: BaseException) -> tuple[Any, ...]:
    """Return what the builtin class below was made from: of an OSError more than its ``args``."""
    found: tuple[Any, ...] = _builtin_base(type(error)).__reduce__(error)[1]
    return found


def make(kind: type[BaseException], *arguments: Any) -> BaseException:
    """Return an exception without the ``__new__`` and the ``__init__`` of the program's classes."""
    base = _builtin_base(kind)
    error: BaseException = base.__new__(kind, *arguments)
    with contextlib.suppress(TypeError):  # of a builtin class whose ``args`` were set to something else
        base.__init__(error, *arguments)
    return error


def fill(error: BaseException, state: tuple[Any, ...]) -> None:
    """Fill in what else it has."""
    args, attributes, slots, chain = state
    set_part(error, "args", args)
    set_attributes(error, attributes, slots)
    set_chain(error, chain)


def set_chain(error: BaseException, chain: tuple[Any, Any, bool]) -> None:
    """Set what it comes from."""
    cause, context, suppress = chain
    set_part(error, "__cause__", cause)
    set_part(error, "__context__", context)
    set_part(error, "__suppress_context__", suppress)


def _builtin_base(kind: type[BaseException]) -> Any:
    return next(
        one for one in kind.__mro__ if one.__module__ == "builtins" and not one.__flags__ & _HEAP_TYPE
    )


def forgotten(error: BaseException) -> dict[str, Any]:
    """Return what builtin exceptions have beside their ``args``, and pickle leaves out: the name that was not found.
    (From Python 3.12 on it takes that of an AttributeError along.)"""
    if not isinstance(error, (AttributeError, NameError)) or error.name is None or _says_how(error):
        return {}
    return {"name": error.name} if type(error.name) is str else {}


def slots_of(error: BaseException) -> list[str]:
    """Return the slots of an exception that have a value: its own pickling forgets them."""
    return [
        name
        for kind in type(error).__mro__
        if kind.__flags__ & _HEAP_TYPE
        for name, value in vars(kind).items()
        if isinstance(value, MemberDescriptorType) and hasattr(error, name)
    ]


def set_attributes(error: BaseException, state: dict[str, Any], slots: dict[str, Any]) -> BaseException:
    """``error`` with these attributes, without what its class does when one is set."""
    error.__dict__.update(state)
    for name, value in slots.items():
        set_part(error, name, value)
    return error


def set_part(error: BaseException, name: str, value: Any) -> None:
    """Set an attribute of every exception, also on a class that refuses attributes (a frozen dataclass)."""
    object.__setattr__(error, name, value)
