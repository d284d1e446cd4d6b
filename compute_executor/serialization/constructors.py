"""Makes functions and classes anew from what `pickler` took apart. Called by streams while they are read, in workers
too: standard library only."""

from __future__ import annotations

import abc
import typing
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple, cast

from compute_executor.serialization import nameless_classes, reading

FILE_NAME = 10
"""Which argument of a code object its file name is, on every Python that is supported."""


def make_code(*args: Any) -> CodeType:
    """Return a code object; the file name comes as its number in the stream."""
    make: Any = CodeType  # its parameters differ from version to version
    return cast(
        "CodeType", make(*args[:FILE_NAME], reading.file_name(args[FILE_NAME]), *args[FILE_NAME + 1 :])
    )


def make_cell() -> CellType:
    """Return a cell that is not filled yet."""
    return CellType()


def fill_cell(cell: CellType, contents: tuple[Any, ...]) -> None:
    """Give a cell its contents, unless it is empty where it comes from."""
    if contents:
        cell.cell_contents = contents[0]


def same(obj: Any) -> Any:
    """Return the object itself."""
    return obj


def make_function(
    own: str, code: CodeType, space: str, name: str, cells: tuple[CellType, ...] | None
) -> FunctionType:
    """Return a function in its namespace, without defaults, attributes and the contents of its cells."""
    made = FunctionType(code, reading.space(space), name, None, cells)
    reading.made(own, made)
    return made


def fill_function(
    function: FunctionType, state: tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]
) -> None:
    """Fill in the rest of a function."""
    attributes, special, cells = state
    for one in special.pop("overloads", ()):
        typing.overload(one)
    for name, value in special.items():
        setattr(function, name, value)
    function.__dict__.update(attributes)
    for cell, contents in cells:
        fill_cell(cell, contents)


# -- classes ------------------------------------------------------------------------------------------------


class ClassPlan(NamedTuple):
    """What a class is made from. ``maker``: the metaclass whose ``__new__`` makes it, without what the program's own
    metaclasses do beside that. ``first``: the attributes that the class statement has to know."""

    metaclass: Any
    """None: that of the first base, which has no name; then there is no ``maker`` either."""
    maker: Any
    name: str
    bases: tuple[type, ...]
    first: dict[str, Any]
    tracked: str
    """By which it is known again; empty for a class that has a global name."""
    keywords: dict[str, Any] | None = None
    """Of the class statement, where that alone lays out the class."""


def make_class(own: str, plan: ClassPlan) -> Any:
    """Return a class that is to be filled; the class itself where it is known already."""

    def make() -> Any:
        if plan.maker is None:
            return type(plan.bases[0])(plan.name, plan.bases, dict(plan.first))
        return plan.maker.__new__(
            plan.metaclass, plan.name, plan.bases, dict(plan.first), **(plan.keywords or {})
        )

    return _made(own, plan, make)


def _made(own: str, plan: ClassPlan, make: Callable[[], Any]) -> Any:
    def fresh() -> Any:
        made = _quietly(make, plan.bases)
        _fresh.add(id(made))
        return made

    found = nameless_classes.find_or_make(plan.tracked, fresh)
    reading.made(own, found)
    return found


_fresh: set[int] = set()
"""Classes that were made, and not filled yet, by id."""


def fill_class(cls: type, state: tuple[dict[str, Any], list[type], list[type]]) -> None:
    """Fill in the attributes of a class. In an answer, one that was here before keeps its own."""
    if id(cls) not in _fresh and reading.is_answer():
        return
    _fresh.discard(id(cls))
    attributes, virtual, registered_with = state
    for name, value in attributes.items():
        _set(cls, name, value)
    if "__firstlineno__" in attributes:  # Python 3.13 drops it when another attribute is set
        type.__setattr__(cls, "__firstlineno__", attributes["__firstlineno__"])
    for one in virtual:
        abc.ABCMeta.register(cls, one)  # type: ignore[arg-type]
    for one in registered_with:
        abc.ABCMeta.register(one, cls)  # type: ignore[arg-type]


def _set(cls: type, name: str, value: Any) -> None:
    """Set an attribute of a class, without what its metaclass does besides, unless that is an extension module's."""
    try:
        type.__setattr__(cls, name, value)
    except TypeError:
        setattr(cls, name, value)


def make_enum(
    own: str, plan: ClassPlan, members: list[tuple[str, Any, Any]], keywords: dict[str, Any]
) -> Any:
    """Return an enum with its members. Each comes as name, value, and what makes its part of the type that is mixed
    in: its own ``__new__`` and ``__init__`` have run where it comes from."""
    return _made(own, plan, lambda: _enum(plan, members, keywords))


def _enum(plan: ClassPlan, members: list[tuple[str, Any, Any]], keywords: dict[str, Any]) -> Any:
    coming = iter(members)

    def new(cls: Any, *_: Any) -> Any:
        _name, value, mixed = next(coming)
        made = object.__new__(cls) if mixed is None else mixed[0].__new__(cls, *mixed[1])
        made._value_ = value
        return made

    space: Any = plan.metaclass.__prepare__(plan.name, plan.bases, **keywords)
    dict.update(space, plan.first)
    if members:
        space["__new__"] = new
        space["__init__"] = _no_init
    for member, value, _ in members:
        space[member] = value
    made = plan.maker.__new__(plan.metaclass, plan.name, plan.bases, space, **keywords)
    for special in ("__init__", "__new__", "__new_member__", "_new_member_"):
        if members and special in vars(made):
            type.__delattr__(made, special)
    return made


def _no_init(*_: Any) -> None:
    """In place of the ``__init__`` of an enum while its members are made."""


def fill_enum(
    cls: Any, state: tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, str], list[type]]
) -> None:
    """Fill in the methods of an enum, the attributes of its members, and their further names."""
    attributes, members, aliases, registered_with = state
    fill_class(cls, (attributes, [], registered_with))
    for name, own in members.items():
        vars(cls._member_map_[name]).update(own)
    for alias, name in aliases.items():
        if alias not in cls._member_map_:
            cls._member_map_[alias] = cls._member_map_[name]
            type.__setattr__(cls, alias, cls._member_map_[name])


def _quietly(make: Callable[[], Any], bases: tuple[type, ...]) -> Any:
    """Make a class without telling those of its bases that keep a list of their subclasses (``__init_subclass__``):
    what that has changed travels with them."""
    listening = next(
        (one for base in bases for one in base.__mro__ if "__init_subclass__" in vars(one)), object
    )
    if listening is object or listening.__module__ in ("typing", "enum", "typing_extensions"):
        return make()
    kept = vars(listening)["__init_subclass__"]
    try:
        type.__setattr__(listening, "__init_subclass__", classmethod(lambda _cls, **_keywords: None))
    except TypeError:  # a class of an extension module
        return make()
    try:
        return make()
    finally:
        type.__setattr__(listening, "__init_subclass__", kept)
