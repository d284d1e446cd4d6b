"""Objects that neither pickle nor cloudpickle takes apart, or takes apart wrongly: one small reducer for each
kind."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import gc
import random
import struct
import sys
import typing
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from types import FunctionType
from typing import Any, Literal, NamedTuple, NewType, ParamSpec, TypeVar

from compute_executor.serialization import remade as made
from compute_executor.serialization import sentinels


class Reducer(NamedTuple):
    """``reduce`` as `__reduce__`. ``found_by``: how a global of the program is known to be the object: by the name
    that it has itself, as functions and classes have one; by its identity; or not at all."""

    reduce: Callable[[Any], tuple[Any, ...]]
    found_by: Literal["name", "identity", "nothing"] = "name"


def find(kind: type) -> Reducer | None:
    """Return the reducer for objects of exactly this type."""
    found = _REDUCERS.get(kind)
    if found is None and kind.__module__ == "ctypes" and kind.__name__.endswith("DLL"):
        return Reducer(c_libraries().of_library, "nothing")
    return found


def c_libraries() -> Any:
    """Return what takes apart the objects of ctypes, which most programs do not have."""
    from compute_executor.serialization import c_libraries

    return c_libraries


# -- functools ----------------------------------------------------------------------------------------------


def _cached(function: Any) -> tuple[Any, ...]:
    parameters = function.cache_parameters()
    plain = {
        name: value
        for name, value in vars(function).items()
        if name not in ("__wrapped__", "cache_parameters")
    }
    return made.cached, (function.__wrapped__, parameters["maxsize"], parameters["typed"], plain)


def _cached_property(one: Any) -> tuple[Any, ...]:
    return made.cached_property, (type(one), one.func, one.attrname, one.__doc__)


_generic: Any = functools.singledispatch(lambda _: None)
_SINGLE_DISPATCH = _generic.__code__
_ITS_PARTS = {_generic.dispatch.__code__: "dispatch", _generic.register.__code__: "register"}


def of_function(function: FunctionType) -> tuple[Any, ...] | None:
    """For a function that some library made: `functools.singledispatch` keeps weak references in its closure."""
    if function.__code__ in _ITS_PARTS:
        return _part_of_single_dispatch(function)
    if function.__code__ is not _SINGLE_DISPATCH:
        return None
    registry = dict(function.registry)  # type: ignore[attr-defined]
    base = registry.pop(object)
    own = {"__wrapped__", "register", "dispatch", "registry", "_clear_cache"}
    rest = {name: value for name, value in vars(function).items() if name not in own}
    return (
        made.single_dispatch,
        (base,),
        (list(registry.items()), rest),
        None,
        None,
        made.fill_single_dispatch,
    )


def _part_of_single_dispatch(function: FunctionType) -> tuple[Any, ...]:
    """For a function that a generic one has as its attribute, and methods keep in a closure (from Python 3.13 on)."""
    registry = dict(made.registry_of(function))
    part = registry.pop(object), _ITS_PARTS[function.__code__]
    return made.part_of_single_dispatch, part, list(registry.items()), None, None, made.fill_registry


# -- typing -------------------------------------------------------------------------------------------------


def _new_type(one: Any) -> tuple[Any, ...]:
    return made.new_type, (one.__name__, one.__qualname__, one.__module__, one.__supertype__)


def _default(one: Any) -> dict[str, Any]:
    none = getattr(typing, "NoDefault", None)
    default = getattr(one, "__default__", none)
    return {} if default is none or sys.version_info < (3, 13) else {"default": default}


def _type_variable(one: Any) -> tuple[Any, ...]:
    keywords = {
        "bound": one.__bound__,
        "covariant": one.__covariant__,
        "contravariant": one.__contravariant__,
    }
    if getattr(one, "__infer_variance__", False):
        keywords["infer_variance"] = True
    return made.type_variable, (
        TypeVar,
        one.__name__,
        one.__constraints__,
        keywords | _default(one),
        one.__module__,
    )


def _param_spec(one: Any) -> tuple[Any, ...]:
    keywords = {
        "bound": one.__bound__,
        "covariant": one.__covariant__,
        "contravariant": one.__contravariant__,
    }
    return made.type_variable, (ParamSpec, one.__name__, (), keywords | _default(one), one.__module__)


def _type_variable_tuple(one: Any) -> tuple[Any, ...]:
    return made.type_variable, (type(one), one.__name__, (), _default(one), one.__module__)


def _type_alias(one: Any) -> tuple[Any, ...]:
    """Return a type alias. What a statement has made computes its value when it is asked for, and may refer to
    itself."""
    compute = [part for part in gc.get_referents(one) if type(part) is FunctionType]
    if not compute:
        return made.type_alias, (type(one), one.__name__, one.__value__, one.__type_params__)
    parameters = [_parameter(part) for part in one.__type_params__]
    return (
        made.lazy_alias,
        (one.__name__, one.__module__, parameters),
        compute[0],
        None,
        None,
        made.fill_alias,
    )


def _parameter(one: Any) -> made.Parameter:
    """Return a parameter of a type alias."""
    stars = {"TypeVarTuple": "*", "ParamSpec": "**"}.get(type(one).__name__, "")
    bound = getattr(one, "__bound__", None)
    constraints = getattr(one, "__constraints__", ())
    limits = constraints if bound is None else (bound,)
    return made.Parameter(stars, one.__name__, limits, bool(constraints), tuple(_default(one).values()))


def overloads(function: FunctionType) -> list[Any]:
    """Return what `typing.get_overloads` tells of a function."""
    known: Any = getattr(typing, "_overload_registry", None)  # from Python 3.11 on
    if not known or function.__module__ not in known:
        return []
    found: list[Any] = typing.get_overloads(function)  # type: ignore[attr-defined,unused-ignore]
    return [] if any(one is function for one in found) else found


# -- others of the standard library ---------------------------------------------------------------------------


def _compare_key(one: Any) -> tuple[Any, ...]:
    """Return what `functools.cmp_to_key` gives; it shows its function to nobody but the garbage collector."""
    function, *rest = [part for part in gc.get_referents(one) if part is not type(one)]
    if rest:
        raise TypeError(f"cannot pickle '{type(one).__name__}' object that holds a value")
    return functools.cmp_to_key, (function,)


def _generator_manager(one: Any) -> tuple[Any, ...]:
    """Return a context manager made of a generator that has not begun."""
    if "func" not in vars(one):
        raise TypeError(f"cannot pickle '{type(one).__name__}' object that was entered")
    return made.generator_manager, (type(one), one.func, one.args, one.kwds)


def _struct(one: Any) -> tuple[Any, ...]:
    return struct.Struct, (one.format,)


def _memory(one: Any) -> tuple[Any, ...]:
    content = one.tobytes()
    return made.memory, (content if one.readonly else bytearray(content), one.format, one.shape)


def _context_variable(one: Any) -> tuple[Any, ...]:
    """With its default, and the value that it has where the task is submitted."""
    default: tuple[Any, ...] = ()
    with contextlib.suppress(LookupError):
        default = (Context().run(one.get),)
    plan = one.name, default
    context = copy_context()
    if one not in context:
        return made.context_variable, plan
    return made.context_variable, plan, (context[one],), None, None, made.set_context_variable


def is_decorator(obj: Any) -> bool:
    """Return whether an object stands in place of the function that it decorates, under its name."""
    try:
        return "__qualname__" in obj.__dict__ or type(obj).__module__ in _OF_WRAPT
    except Exception:  # without attributes, or with a __getattr__ of the program's that does not expect this
        return False


def decorator(obj: Any) -> tuple[Any, ...] | None:
    """Return what makes such an object again whose class pickles it by its name: what the name stands for in a worker
    is to be this one. None: it pickles as any other."""
    kind: Any = type(obj)
    if kind.__module__ in _OF_WRAPT and kind.__name__ == "FunctionWrapper":
        return made.wrapped, (obj.__wrapped__, obj._self_wrapper, obj._self_enabled)
    of_python = all(base is object or base.__flags__ & 1 << 9 for base in kind.__mro__)
    if kind.__reduce__ is object.__reduce__ or not of_python:
        return None
    return made.new, (kind,), dict(vars(obj))


_OF_WRAPT = frozenset({"_wrappers", "wrapt", "wrapt._wrappers", "wrapt.wrappers"})


_OWN_STATE = ("__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def asks_itself(kind: Any) -> bool:
    """Return whether pickle's questions to an object of this class end in a ``__getattr__`` of the program's, which
    may need attributes that are not there yet."""
    if not hasattr(kind, "__getattr__") or not sentinels.pickles_plainly(kind):
        return False
    of_python = all(base is object or base.__flags__ & 1 << 9 for base in kind.__mro__)
    return of_python and all(getattr(kind, name, None) is getattr(object, name, None) for name in _OWN_STATE)


def plainly(obj: Any, make: Callable[..., Any] = made.new) -> tuple[Any, ...]:
    """Return what makes such an object again, from its attributes."""
    kind: Any = type(obj)
    read = object.__getattribute__
    attributes = dict(read(obj, "__dict__")) if kind.__dictoffset__ else {}
    slots = {}
    for name in copyreg._slotnames(kind):  # type: ignore[attr-defined]  # not in typeshed
        with contextlib.suppress(AttributeError):
            slots[name] = read(obj, name)
    return make, (kind,), (attributes, slots), None, None, made.set_attributes


def numpy_function(one: Any) -> tuple[Any, ...] | None:
    """Return what `numpy.frompyfunc` gives; it shows its function to nobody but the garbage collector. None: it is
    one of numpy's own."""
    import numpy  # is there, as this came from it

    functions = [part for part in gc.get_referents(one) if callable(part)]
    return (numpy.frompyfunc, (functions[0], one.nin, one.nout)) if functions else None


def is_disguised(obj: Any) -> bool:
    """Return whether it says that it is of another class than it is, as a mock with a specification does."""
    kind = type(obj)
    if not sentinels.pickles_plainly(kind):
        return False
    try:
        return obj.__class__ is not kind
    except Exception:  # a property of the program's
        return True


def disguised(obj: Any) -> tuple[Any, ...]:
    """Return what makes such an object again."""
    kind: Any = type(obj)
    reduced: Any = object.__reduce_ex__(obj, 2)
    make, args, *state = reduced
    newly: Any = copyreg.__newobj__  # type: ignore[attr-defined]  # not in typeshed
    return (made.new, (kind, *args[1:]), *state) if make is newly else (make, args, *state)


def _system_random(one: Any) -> tuple[Any, ...]:
    """Return a source of random numbers that has no state."""
    return type(one), ()


_REDUCERS: dict[type, Reducer] = {
    functools._lru_cache_wrapper: Reducer(_cached),
    functools.cached_property: Reducer(_cached_property, "nothing"),
    NewType: Reducer(_new_type),
    TypeVar: Reducer(_type_variable),
    ParamSpec: Reducer(_param_spec),
    type(functools.cmp_to_key(lambda _a, _b: 0)): Reducer(_compare_key, "nothing"),
    contextlib._GeneratorContextManager: Reducer(_generator_manager, "nothing"),
    contextlib._AsyncGeneratorContextManager: Reducer(_generator_manager, "nothing"),
    random.SystemRandom: Reducer(_system_random, "nothing"),
    struct.Struct: Reducer(_struct, "nothing"),
    memoryview: Reducer(_memory, "nothing"),
    ContextVar: Reducer(_context_variable, "identity"),
}
if sys.version_info >= (3, 11):
    _REDUCERS[typing.TypeVarTuple] = Reducer(_type_variable_tuple)
if sys.version_info >= (3, 12):
    _REDUCERS[typing.TypeAliasType] = Reducer(_type_alias)


def names_in(annotation: str) -> Iterator[str]:
    """Yield the names that an annotation in text form refers to."""
    try:
        code = compile(annotation.strip(), "<annotation>", "eval")
    except (SyntaxError, ValueError):
        return
    yield from code.co_names
