"""Makes again what `reducers` took apart. Called by streams while they are read, in workers too: standard library
only."""

from __future__ import annotations

import functools
import gc
import importlib
import tempfile
import threading
from contextvars import ContextVar
from types import FunctionType
from typing import Any, NamedTuple, NewType

from compute_executor.serialization import reading


def cached(function: Any, size: int | None, typed: bool, attributes: dict[str, Any]) -> Any:
    """Return a function with a cache of its own, which is empty."""
    made = functools.lru_cache(maxsize=size, typed=typed)(function)
    vars(made).update(attributes)
    return made


def cached_property(kind: Any, function: Any, name: str | None, text: str | None) -> Any:
    """Return a cached property with a lock of its own, where Python still gives it one."""
    made = kind(function)
    made.attrname = name
    made.__doc__ = text
    return made


def single_dispatch(base: Any) -> Any:
    """Return a generic function with no more than what it does with any object."""
    return functools.singledispatch(base)


def fill_single_dispatch(function: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    """Fill in its implementations for other types, and its attributes."""
    implementations, attributes = state
    for kind, one in implementations:
        function.register(kind, one)
    vars(function).update(attributes)


def part_of_single_dispatch(base: Any, name: str) -> Any:
    """Return the ``dispatch`` or ``register`` of such a function."""
    return getattr(functools.singledispatch(base), name)


def fill_registry(part: Any, implementations: list[tuple[type, Any]]) -> None:
    """Fill in the implementations that it finds."""
    registry_of(part).update(implementations)


def registry_of(part: Any) -> dict[type, Any]:
    """Return the implementations that a part of a generic function has in its closure."""
    cells = dict(zip(part.__code__.co_freevars, part.__closure__, strict=True))
    found: dict[type, Any] = cells["registry"].cell_contents
    return found


def new_type(name: str, qualified: str, module: str, kind: Any) -> Any:
    """Return a `typing.NewType`."""
    make: Any = NewType  # a checker wants the name in the source
    made = make(name, kind)
    made.__qualname__ = qualified
    made.__module__ = module
    return made


def type_variable(
    kind: Any, name: str, constraints: tuple[Any, ...], keywords: dict[str, Any], module: str
) -> Any:
    """Return a `typing.TypeVar`, ParamSpec or TypeVarTuple."""
    made = kind(name, *constraints, **keywords)
    made.__module__ = module
    return made


def type_alias(kind: Any, name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    """Return a type alias, with its value as it was."""
    return kind(name, value, type_params=parameters)


class Parameter(NamedTuple):
    """A parameter of a type alias. ``limits``: its bound, or its constraints."""

    stars: str
    name: str
    limits: tuple[Any, ...]
    constrained: bool
    default: tuple[Any, ...]

    def source(self, number: int) -> str:
        """As the statement has it; what it refers to are globals with its number."""
        limits = ", ".join(f"_{number}_{index}" for index in range(len(self.limits)))
        limit = f": ({limits},)" if self.constrained else f": {limits}" if limits else ""
        return f"{self.stars}{self.name}{limit}" + (f" = _{number}_default" if self.default else "")


def lazy_alias(name: str, module: str, parameters: list[Parameter]) -> Any:
    """Return a type alias of a statement: its value is computed when it is asked for."""
    names: dict[str, Any] = {"__name__": module}
    for number, one in enumerate(parameters):
        names.update({f"_{number}_{index}": limit for index, limit in enumerate(one.limits)})
        names.update(dict.fromkeys([f"_{number}_default"] * len(one.default), *one.default))
    listed = ", ".join(one.source(number) for number, one in enumerate(parameters))
    exec(f"type {name}{f'[{listed}]' if listed else ''} = _compute()", names)
    return names[name]


def fill_alias(alias: Any, compute: FunctionType) -> None:
    """Fill in what computes its value, of its own parameters."""
    cells = dict(zip(compute.__code__.co_freevars, compute.__closure__ or (), strict=True))
    for one in alias.__type_params__:
        if one.__name__ in cells:
            cells[one.__name__].cell_contents = one
    lazily = next(part for part in gc.get_referents(alias) if type(part) is FunctionType)
    lazily.__globals__["_compute"] = compute


def generator_manager(kind: Any, function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return a context manager made of a generator."""
    return kind(function, args, keywords)


def new(kind: Any, *args: Any) -> Any:
    """Return an object of that class, whatever it says that its class is."""
    return kind.__new__(kind, *args)


def bare(kind: Any) -> Any:
    """Return an object of that class, without what its ``__new__`` does."""
    return object.__new__(kind)


def set_attributes(obj: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Set attributes, without asking the object for anything: its ``__getattr__`` may need them itself."""
    attributes, slots = state
    if attributes:
        object.__getattribute__(obj, "__dict__").update(attributes)
    for name, value in slots.items():
        object.__setattr__(obj, name, value)


def wrapped(function: Any, wrapper: Any, enabled: Any) -> Any:
    """Return a function that a decorator of the library wrapt has wrapped."""
    made: Any = importlib.import_module("wrapt")
    return made.FunctionWrapper(function, wrapper, enabled)


def memory(content: bytes | bytearray, form: str, shape: tuple[int, ...]) -> memoryview:
    """Return a view of memory of its own."""
    view = memoryview(content)
    return view if form == "B" and len(shape) == 1 else view.cast(form, shape)  # type: ignore[call-overload]


def context_variable(name: str, default: tuple[Any, ...]) -> Any:
    """Return a context variable that has no value yet."""
    make: Any = ContextVar  # a checker wants the name in the source
    return make(name, default=default[0]) if default else make(name)


def set_context_variable(variable: Any, value: tuple[Any, ...]) -> None:
    """Set its value in the context in which tasks run."""
    variable.set(*value)


# -- libraries of C code ------------------------------------------------------------------------------------


def function_type(flags: int, result: Any, *arguments: Any) -> Any:
    """Return a type of functions, which ctypes keeps once made."""
    import ctypes

    if flags & 4:  # of Python's own functions
        return ctypes.PYFUNCTYPE(result, *arguments)
    return ctypes.CFUNCTYPE(result, *arguments, use_errno=bool(flags & 8), use_last_error=bool(flags & 16))


def library(kind: Any, name: str | None, errno: bool, last_error: bool) -> Any:
    """Return a library of C code, as ctypes loads it."""
    return kind(name, use_errno=errno, use_last_error=last_error)


def fill_library(library: Any, state: tuple[dict[str, tuple[Any, Any, Any]], dict[str, Any]]) -> None:
    """Fill in what the program has said about its functions, and set beside."""
    functions, own = state
    for name, said in functions.items():
        fill_library_function(getattr(library, name), said)
    vars(library).update(own)


def library_function(library: Any, name: str) -> Any:
    """Return a function of a library, not the one that is its attribute."""
    return library[name]


def fill_library_function(function: Any, said: tuple[Any, Any, Any]) -> None:
    """Fill in what the program has said about it."""
    arguments, result, check = said
    if arguments is not None:
        function.argtypes = arguments
    function.restype = result
    if check is not None:
        function.errcheck = check


# -- what each process has of its own ------------------------------------------------------------------------


def thread_local(kind: Any) -> Any:
    """Return a thread's own values. The ``__init__`` of a class of the program's has run where they come from."""
    return threading.local.__new__(kind)


def fill_thread_local(one: Any, values: dict[str, Any]) -> None:
    """Fill in the values of this thread."""
    vars(one).update(values)


def open_file(path: str, mode: str, position: int | None, text: dict[str, Any]) -> Any:
    """Return a file that is opened again, at the place where it was; for writing: at its end."""
    file = open(path, mode, **text)  # noqa: SIM115 - as long as the program's global
    if position is not None:
        file.seek(position)
    return file


def temporary_file(file: Any, name: str) -> Any:
    """Return a temporary file of the caller's, who deletes it."""
    return tempfile._TemporaryFileWrapper(file, name, delete=False)


def weak(kind: Any, *target: Any) -> Any:
    """Return a weak reference to what lives as long as the reference's unit; to nothing, if there is nothing any
    more."""
    return kind(reading.keep(target[0])) if target else kind(_Gone())


class _Gone:
    """What a weak reference refers to that is dead."""


def weak_container(kind: Any, items: Any) -> Any:
    """Return a container of weak references to what lives as long as its unit."""
    return kind(reading.keep(items))


class Piece(NamedTuple):
    """A part of the memory of an object, as a `memoryview` shows it."""

    start: int
    length: int
    """In bytes."""
    step: int
    """From element to element; negative: from the end to the start."""
    form: str
    shape: tuple[int, ...]
    readonly: bool


def memory_view(owner: Any, piece: Piece) -> memoryview:
    """Return a view of an object's memory."""
    found: Any = memoryview(owner).cast("B")[piece.start : piece.start + piece.length]
    if piece.form != "B" or len(piece.shape) != 1:
        found = found.cast(piece.form, piece.shape) if len(piece.shape) != 1 else found.cast(piece.form)
    if piece.step != 1:
        found = found[:: piece.step]
    return found.toreadonly() if piece.readonly else found  # type: ignore[no-any-return]


def view(mapping: Any, name: str) -> Any:
    """Return a view of a dictionary."""
    return getattr(mapping, name)()


class Layout(NamedTuple):
    """How an array lies in the memory of another one."""

    kind: Any
    """Its dtype."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    """Bytes from the beginning of that memory to its first element."""
    writeable: bool
    shown_as: Any = None
    """The class of the array, if it is not numpy's plain one."""


def array_view(base: Any, layout: Layout) -> Any:
    """Return an array in the memory of another one."""
    numpy: Any = importlib.import_module("numpy")
    is_array = isinstance(base, numpy.ndarray)
    memory = base.ravel(order="K").view("uint8") if is_array else numpy.frombuffer(base, "uint8")
    made = numpy.ndarray(layout.shape, layout.kind, memory, layout.offset, layout.strides)
    made.flags.writeable = layout.writeable and made.flags.writeable
    return made if layout.shown_as is None else made.view(layout.shown_as)
