"""Classes of the library msgspec: made again by the library, which lays out their fields in C.

Standard library only until there is such a class: workers use this.
"""

from __future__ import annotations

import importlib
from typing import Any

_FLAGS = (
    "frozen",
    "eq",
    "order",
    "array_like",
    "gc",
    "repr_omit_defaults",
    "omit_defaults",
    "forbid_unknown_fields",
    "weakref",
    "dict",
    "cache_hash",
)


def is_struct(metaclass: type) -> bool:
    """Return whether a metaclass makes classes of msgspec."""
    return any(
        one.__module__ == "msgspec._core" and one.__name__ == "StructMeta" for one in metaclass.__mro__
    )


def fields(cls: Any) -> dict[str, Any]:
    """Return the fields that a class has itself, as its statement gives them: with default and name in documents."""
    own = vars(cls).get("__annotations__", {})
    defaults = cls.__struct_defaults__
    absent = (importlib.import_module("msgspec").NODEFAULT,) * (len(cls.__struct_fields__) - len(defaults))
    found = {}
    for name, written, default in zip(
        cls.__struct_fields__, cls.__struct_encode_fields__, (*absent, *defaults), strict=True
    ):
        if name not in own:
            continue
        factory = getattr(default, "factory", None) if type(default).__module__ == "msgspec._core" else None
        found[name] = (default, None, written) if factory is None else (None, factory, written)
    return {name: Field(*parts) for name, parts in found.items()}


class Field:
    """A field on its way. ``factory``: makes the default; None: that is ``default``."""

    def __init__(self, default: Any, factory: Any, written: str) -> None:
        self.parts: tuple[Any, Any, str] = default, factory, written

    def __reduce__(self) -> tuple[Any, ...]:
        return field, self.parts


def field(default: Any, factory: Any, written: str) -> Any:
    """Return what stands for a field in a class statement."""
    made: Any = importlib.import_module("msgspec")
    if factory is not None:
        return made.field(default_factory=factory, name=written)
    return made.field(default=default, name=written)


def options(cls: Any) -> dict[str, Any]:
    """Return the keywords of its class statement."""
    config = cls.__struct_config__
    found = {name: getattr(config, name) for name in _FLAGS if hasattr(config, name)}
    if config.tag is not None:
        found.update(tag=config.tag, tag_field=config.tag_field)
    own = [name for name in vars(cls).get("__annotations__", {}) if name in cls.__struct_fields__]
    found["kw_only"] = bool(own) and not set(own) <= set(cls.__match_args__)
    return found


def post_init(made: Any) -> None:
    """In place of a class's ``__post_init__``, which msgspec looks up before it is there."""
    type(made).__post_init__(made)
