"""Text to parameter values and back: what ``--grid``, ``--params`` and ``--resume`` have in common.

Where the function annotates a parameter, the annotation decides (:mod:`.annotations`). Elsewhere a value is None
(``null``, ``none``), a bool (``true``, ``false``), an int, a float or a string. Text that looks like a number but
would not come back as written (``007``, ``1_000``) stays a string: it is an identifier. The values of one parameter
are of one type, so that a function does not get an int here and a float there: one float makes all numbers floats,
one word makes all words. Only None stands beside any type.
"""

from __future__ import annotations

import datetime
import enum
import hashlib
import json
import math
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, is_dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

from compute_executor.errors import InvalidRequest

Value: TypeAlias = Any
"""A parameter's value: None, bool, int, float, str, or what an annotation asks for (a Path, a date ...)."""

_INT = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_ZEROS = re.compile(r"[+-]?0\d", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_MOST_BITS = 4096
"""Of an int whose decimal digits are quick to make."""
_FORMULA = re.compile(r"'*([=+\-@\t\r]|null\Z)")
"""What has an apostrophe before it in a table of text: what a spreadsheet takes for a formula, and the word that
stands for None there."""


def typed(text: str) -> Value:
    """Return the value that one text stands for. Raises InvalidRequest for a number that no float can hold.

    >>> [typed("5"), typed("0.5"), typed("1e3"), typed("007"), typed(" fast "), typed("true"), typed("null")]
    [5, 0.5, 1000.0, '007', 'fast', True, None]
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return whole_number(text)
    try:
        return text if _ZEROS.match(text) else floating(text)
    except InvalidRequest:
        raise
    except ValueError:  # a word
        return text


def floating(text: str) -> float:
    """Return the float nearest to ``text``. Raises ValueError for a word (``1_000`` and digits of other scripts
    included), InvalidRequest where infinity or zero would take the place of a number."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    value = float(text)
    nonzero = any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    if _NUMBER.fullmatch(text.strip()) and (math.isinf(value) or (value == 0 and nonzero)):
        raise InvalidRequest(f"{text} is outside the range of a float (about 1e-308 to 1e308)")
    return value


def whole_number(text: str) -> int:
    """Return an int of any number of digits (``int`` itself reads 4,300)."""
    return int(text) if len(text) < 4000 else int(Decimal(text))


def typed_alike(texts: Sequence[str]) -> list[Value]:
    """Return the values of one parameter. Raises InvalidRequest for booleans among numbers.

    >>> typed_alike(["1", "2", "5"]), typed_alike(["1", "2.5"]), typed_alike(["1", "many", "null"])
    ([1, 2, 5], [1.0, 2.5], ['1', 'many', None])
    """
    kind = kind_of(map(typed, texts))
    return [as_kind(text, kind) for text in texts]


Kind: TypeAlias = "type | None"
"""What all values of a parameter are; None as long as there was none."""


def kind_of(values: Iterable[Value], kind: Kind = None) -> Kind:
    """Return the one type that can hold all of ``values``: bool, int, float or str. Raises InvalidRequest, see
    above."""
    for value in values:
        kind = _joined(kind, value)
    return kind


def _joined(kind: Kind, value: Value) -> Kind:
    new = type(value)
    if value is None or new is kind:
        return kind
    if kind is None:
        return new
    if str in (kind, new):
        return str
    if bool in (kind, new):
        raise InvalidRequest(
            "true or false among numbers: annotate the parameter of the function, say x: bool"
        )
    return float


def as_kind(text: str, kind: Kind) -> Value:
    """``text`` as a value of a parameter of this ``kind``; its text must allow that."""
    text = text.strip()
    value = typed(text)
    if value is None or kind is None or type(value) is kind:
        return value
    if kind is float and isinstance(value, int):
        return _exact_float(value)
    return text


def _exact_float(value: int) -> float:
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if result != value:
        raise InvalidRequest(
            f"{digits(value)} among floats would lose digits: annotate the parameter of the function, "
            "say x: int or x: float"
        )
    return result


def digits(value: int) -> str:
    """Return all digits of an int (``str`` itself writes 4,300)."""
    try:
        return str(value)
    except ValueError:
        with localcontext() as context:
            context.prec = 1  # construction is exact; the precision is for arithmetic
            return str(Decimal(value))


def cell(value: Any) -> str:
    """Return how a value is written into a table of text; a float in the shortest form that reads back as the same
    float.

    Nothing is shortened: arrays, frames and containers are written whole, as JSON. A text file has no NUL, and csv
    readers stumble over one (Python's own until 3.11).

    Raises TypeError for an object that no text can stand for.

    >>> cell(0.1), cell([1, 2]), cell({"a": None}), cell(True)
    ('0.1', '[1, 2]', '{"a": null}', 'True')
    """
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    value = plain(value)
    writer = _WRITERS.get(type(value))
    return writer(value) if writer is not None else _clean(_shown(value))


def array_text(value: Any) -> str:
    """Return the text of a value, whole, as it is: without what makes it safe in a table of text. Raises
    TypeError."""
    if isinstance(value, str):
        return value
    return digits(value) if type(value) is int else unescaped(cell(value))


def json_text(value: Any) -> str:
    """``value`` as JSON, whole; see :func:`plain`. Raises TypeError."""
    inside = _plain_inside(value)
    try:
        return json.dumps(inside, ensure_ascii=False, default=_shown)
    except ValueError:  # an int of very many digits
        return _long_json(inside)


def storable(value: Any) -> Any:
    """``value`` of the types that column formats know: numbers, text, bytes, times, decimals, lists and mappings.
    Raises TypeError for a mapping that would lose a key and a decimal that is no number, and what objects of the user
    raise."""
    if type(value) in _STORED:
        return value
    if isinstance(value, (PurePath, UUID, Fraction)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta, Decimal, bytes)):
        return _as_python(value)
    value = _by_column(value) if _is_frame(value) else plain(value)
    if isinstance(value, Mapping):
        return _by_text(value, storable)
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [storable(item) for item in value]
    return value


def _by_column(value: Any) -> Any:
    """Return a pandas frame whose columns have one type each; row by row where their names are none."""
    names = value.columns.tolist()
    if not all(type(name) is str for name in names) or not value.columns.is_unique:
        return plain(value)
    return {"index": value.index.tolist(), "data": {name: _filled(value[name]) for name in names}}


def _filled(column: Any) -> list[Any]:
    """Return the values of a column. Where no text is, pandas has NaN."""
    values: list[Any] = column.tolist()
    if getattr(column.dtype, "kind", "O") != "O":
        return values
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _as_python(value: Any) -> Any:
    """Return a time of pandas as one of Python, if that can hold it; a decimal if it is a number, bytes."""
    if isinstance(value, Decimal) and not value.is_finite():
        raise TypeError("columns of decimals have numbers only; a float may be nan or inf")
    convert = getattr(value, "to_pydatetime", None) or getattr(value, "to_pytimedelta", None)
    if value != value:  # noqa: PLR0124 - NaT
        return None
    nanoseconds = any(getattr(value, name, 0) for name in ("nanosecond", "nanoseconds"))
    return value if convert is None or nanoseconds else convert()


_STORED = (int, float, str, bool, type(None), bytes)


def parameter_cell(value: Value) -> str:
    """Return the same for a parameter, where nothing (the default) and None are different."""
    return "null" if value is None else cell(value)


def plain(value: Any) -> Any:
    """``value`` without the types of numpy, pandas, dataclasses and the like: what JSON can write, or itself."""
    for known, convert in _PLAIN:
        if known(value):
            return convert(value)
    return value


def _shown(value: Any) -> str:
    """Return the text of an object that says itself what it is; not ``<Grid object at 0x7f...>``, nor an array's
    ``...``."""
    kind = type(value)
    silent = all(vars(one).keys().isdisjoint(("__str__", "__repr__")) for one in kind.__mro__[:-1])
    if silent or callable(value) or getattr(value, "shape", ()) != () or hasattr(value, "__next__"):
        raise TypeError(
            f"a {kind.__module__}.{kind.__qualname__} cannot be written as text: return numbers, text, arrays, "
            "or a mapping or dataclass of them"
        )
    return str(value)


def _json(value: Any) -> str:
    return _clean(json_text(value))


def _long_json(value: Any) -> str:
    """JSON where an int may have any number of digits."""
    if isinstance(value, dict):
        items = (f"{json.dumps(key, ensure_ascii=False)}: {_long_json(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_long_json, value)) + "]"
    if type(value) is int:
        return digits(value)
    return json.dumps(value, ensure_ascii=False, default=_shown)


def _plain_inside(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, Mapping):
        return _by_text(value, _plain_inside)
    return (
        [_plain_inside(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else value
    )


def _by_text(value: Mapping[Any, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    inside = {str(name): convert(item) for name, item in value.items()}
    if len(inside) < len(value):
        raise TypeError("a mapping has keys that differ in type only, such as 1 and '1'")
    return inside


def _clean(text: str) -> str:
    return _safe(text.replace("\0", "\ufffd"))


def _safe(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula, and nobody for None: an apostrophe is put before
    it. A number stays."""
    if text and _FORMULA.match(text) and not _NUMBER.fullmatch(text) and text not in ("-inf", "+inf"):
        return f"'{text}"
    return text


def unescaped(text: str) -> str:
    """Return a cell as it was before the apostrophe was put there."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "",
    float: repr,
    int: digits,
    bool: str,
    str: _clean,
    list: _json,
    dict: _json,
    tuple: _json,
    set: _json,
    frozenset: _json,
}


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, type) and all(hasattr(value, name) for name in names)


def _enumerated(value: enum.Enum) -> str:
    """Return a member's name. A combination of flags has none in Python 3.10, and no flag none at all."""
    if value.name is not None:
        return value.name
    parts = [one.name for one in type(value) if one.value and one.value & value.value == one.value]
    return "|".join(filter(None, parts)) or str(value.value)


def _frame(value: Any) -> Any:
    """Return a pandas frame, row by row: a name of a column may be there twice."""
    return {
        "index": value.index.tolist(),
        "columns": value.columns.tolist(),
        "data": [list(row) for row in value.itertuples(index=False, name=None)],
    }


def _sequence(value: Any) -> list[Any] | bytes:
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else list(value)


def _is_sequence(value: Any) -> bool:
    """Return a deque, a range, an array of the standard library: whatever is no list and no text."""
    known = (str, bytes, list, tuple, set, frozenset)
    return isinstance(value, (Sequence, Set, memoryview)) and not isinstance(value, known)


_is_frame = _has("index", "columns", "to_dict")  # of pandas


def _series(value: Any) -> Any:
    """Return a pandas series: by its labels, or labels beside values where a label is there twice."""
    if value.index.is_unique:
        return value.to_dict()
    return {"index": value.index.tolist(), "values": value.tolist()}


def _array(value: Any) -> Any:
    """Return numbers and arrays of numpy and its like. Times as text: ``tolist`` makes bare nanoseconds of them.
    Records by the names of their fields, which ``tolist`` forgets."""
    if getattr(value.dtype, "names", None):
        return {name: value[name] for name in value.dtype.names}
    return value.astype(str).tolist() if getattr(value.dtype, "kind", "") in ("m", "M") else value.tolist()


_PLAIN: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (lambda value: isinstance(value, enum.Enum), _enumerated),
    (lambda value: isinstance(value, float), float),
    (lambda value: isinstance(value, int) and not isinstance(value, bool), int),
    (lambda value: isinstance(value, str), str.__str__),
    (lambda value: isinstance(value, (datetime.date, datetime.time)), lambda value: value.isoformat()),
    (lambda value: is_dataclass(value) and not isinstance(value, type), asdict),
    (lambda value: isinstance(value, tuple) and hasattr(value, "_asdict"), lambda value: value._asdict()),
    (lambda value: type(value).__name__ == "NAType", lambda _: None),  # what pandas has for nothing
    (_is_frame, _frame),
    (_has("index", "tolist", "to_dict"), _series),
    (_has("dtype", "tolist"), _array),
    (_has("dims", "to_dict"), lambda value: value.to_dict()),  # of xarray
    (lambda value: isinstance(value, Mapping), dict),
    (_is_sequence, _sequence),
)


def key(values: Iterable[Any]) -> tuple[Value, ...]:
    """Return what two rows share if their parameters are equal, whether read from a file or about to be run.

    >>> key(["1", "fast"]) == key([1.0, "fast"])
    True
    """
    return tuple(_comparable(unescaped(parameter_cell(value))) for value in values)


ABSENT: Any = object()
"""What :func:`key_bytes` is given where a parameter has its default."""


def key_bytes(values: Iterable[Any], *, loose: bool = False) -> bytes:
    """Return what tells rows apart, in a few bytes, for an index: their values, with their types. Only an int and a
    float may be equal. ``loose``: the same for values that were read from text, where ``"5"`` is 5."""
    text = repr(tuple(map(_loosely_keyed if loose else _keyed, values))).encode("utf-8", "backslashreplace")
    return text if len(text) <= 64 else hashlib.blake2b(text, digest_size=16).digest()


def _keyed(value: Any) -> Value:
    if value is None or value is ABSENT or type(value) in (bool, str):
        return ... if value is ABSENT else value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # of numpy
        value = value.item()
    if type(value) is int:
        return ("int", hex(value)) if value.bit_length() > _MOST_BITS else value
    if type(value) is float:
        negative_zero = value == 0 and math.copysign(1, value) < 0
        return int(value) if value.is_integer() and not negative_zero else value
    return type(value).__qualname__, _identity(value)


def _identity(value: Any) -> str:
    try:
        return parameter_cell(value)
    except Exception:  # an object of the user that no text can stand for
        return hashlib.blake2b(pickle.dumps(value), digest_size=16).hexdigest()


def _loosely_keyed(value: Any) -> Value:
    comparable = _comparable(unescaped("" if value is ABSENT else _identity(value)))
    whole = isinstance(comparable, float) and comparable.is_integer()
    return int(comparable) if whole else comparable


def _comparable(text: str) -> Value:
    value = typed(text)
    if isinstance(value, bool) or value is None:
        return text.lower()
    return "nan" if isinstance(value, float) and math.isnan(value) else value
