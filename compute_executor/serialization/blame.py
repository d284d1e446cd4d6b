"""Which part of an object cannot be pickled, and which argument of a call cannot be read: for errors, so after a
failure.

Everything is found by trying the parts. That costs, and only a call that has failed pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

MAX_TRIES = 300
"""Parts that are tried before the search ends where it is."""


_FIRST, _LAST = 5, 2
"""Steps of a long path that are shown."""


def why(obj: Any, error: BaseException) -> str:
    """Return the part of ``obj`` at fault, the way to it, and what pickle says."""
    from compute_executor.serialization.class_parts import OnlyItsStatement
    from compute_executor.serialization.packer import Unserializable

    value, way, cause = obj, "", error
    if isinstance(error, Unserializable):
        value, cause = error.value, error.error
        name, *users = error.way
        used = f" of `{users[0]}`" if users else f" of `{_name(obj)}`"
        used += "".join(f", used by `{user}`" for user in users[1:])
        if users and users[-1] != _name(obj) and _name(obj):
            used += f", used by `{_name(obj)}`"
        way = f" in global `{name}`{{}}{used}"
    whole = isinstance(value, type) and isinstance(cause, OnlyItsStatement)  # no part of it is at fault
    leaf, path = (value, "") if whole else _leaf(value)
    told = f"{type(cause).__name__}: {cause}"
    if not way and not path:
        return told
    way = way.format(f" ({path.strip()})" if path else "") if way else f" in {path.strip()}"
    return f"`{_kind(leaf)}`{way}: {told}"


def _leaf(value: Any) -> tuple[Any, str]:
    """Return the innermost part that cannot be pickled, and its path."""
    path: list[str] = []
    tries = 0
    seen: set[int] = set()
    while True:
        seen.add(id(value))
        for step, part in _parts(value):
            tries += 1
            if tries > MAX_TRIES:
                return value, _shown(path)
            if id(part) not in seen and not _picklable(part):
                value = part
                path.append(step)
                break
        else:
            return value, _shown(path)


def _shown(path: list[str]) -> str:
    """Return the steps of a path; of a long one its ends."""
    if len(path) <= _FIRST + _LAST:
        return "".join(path)
    between = f" ... ({len(path) - _FIRST - _LAST} more) ..."
    return "".join((*path[:_FIRST], between, *path[-_LAST:]))


def _picklable(value: Any) -> bool:
    from compute_executor.serialization.packer import Packer

    try:
        Packer().pack(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object is made of, with the text that leads there."""
    if isinstance(value, dict):
        yield from ((f"[{key!r:.40}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((" element", part) for part in value)
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        yield from ((f" variable `{name}`", cell) for name, cell in cells)
        yield from ((f" default {index}", part) for index, part in enumerate(value.__defaults__ or ()))
        yield from ((f" default `{name}`", part) for name, part in (value.__kwdefaults__ or {}).items())
        yield from ((f" attribute `{name}`", part) for name, part in vars(value).items())
    elif isinstance(value, MethodType):
        yield " object of the method", value.__self__
    elif isinstance(value, partial):
        yield from ((f" argument {index} of the partial", part) for index, part in enumerate(value.args))
        yield from ((f" argument {name!r} of the partial", part) for name, part in value.keywords.items())
    elif isinstance(value, type):
        yield from (
            (f" attribute `{name}`", part) for name, part in vars(value).items() if not name.startswith("__")
        )
    elif hasattr(value, "cell_contents"):
        yield "", value.cell_contents
    else:
        yield from ((f" attribute `{name}`", part) for name, part in getattr(value, "__dict__", {}).items())


def _kind(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _name(obj: Any) -> str:
    name = getattr(obj, "__qualname__", None)
    return name if isinstance(name, str) else ""


def unreadable(stream: bytes, loads: Callable[[bytes], Any]) -> int | None:
    """Return the number of the first argument in a stream of arguments that ``loads`` cannot read; None if that
    cannot be told. The stream is read up to the end of one argument after the other."""
    try:
        prefixes = _prefixes(stream)
    except Exception:  # no stream of a tuple, or cut short
        return None
    for number, prefix in enumerate(prefixes):
        try:
            loads(prefix)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return number
    return None


_TUPLE = (b"\x85", b"\x86", b"\x87")


def _prefixes(stream: bytes) -> list[bytes]:
    """Return the streams of the first argument, of the first two, and so on. An argument ends where the stack is as
    high as it is once that argument is on it, for the last time. Frames, whose lengths would be wrong, are left
    out."""
    import pickletools

    clean = b""
    heights: list[tuple[int, int]] = []
    marks: list[int] = []
    height, marked = 0, False
    operations = list(pickletools.genops(stream))
    last = max(index for index, (one, _, _) in enumerate(operations) if one.name.startswith("TUPLE"))
    for index, (operation, _, start) in enumerate(operations[:last]):
        if operation.name != "FRAME":
            clean += stream[start : operations[index + 1][2]]
        height = _height(operation, height, marks)
        heights.append((len(clean), height))
    marked = operations[last][0].name == "TUPLE"
    ends = [
        max(end for end, reached in heights if reached == number + marked)
        for number in range(1, height - marked + 1)
    ]
    return [clean[:end] + (b"t" if marked else _TUPLE[number]) + b"." for number, end in enumerate(ends)]


def _height(operation: Any, height: int, marks: list[int]) -> int:
    """Return how high the stack is after an operation."""
    if operation.name == "MARK":
        marks.append(height)
        return height + 1
    before = [one.name for one in operation.stack_before]
    if "mark" in before:
        return marks.pop() - before.index("mark") + len(operation.stack_after)
    return height - len(before) + len(operation.stack_after)
