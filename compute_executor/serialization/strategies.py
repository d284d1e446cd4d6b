r"""The stock peers' buffer methods: an object to text, and back, under the name that the buffer begins with.

======  =========  =======================================================================================
method  of         payload
======  =========  =======================================================================================
``00``  data       base64 of a dill stream; the default
``11``  data       JSON
``13``  data       packed attempts of 11 and 00; the first that can be read counts
``01``  code       base64 of a dill stream of the function; the default
``02``  code       base64 of a pickle stream; only read
``03``  code       base64 of dill of ``(name, inspect's source)``
``04``  code       base64 of dill of ``(name, dill's source)``
``10``  code       ``method:payload:method:payload...`` of 04, 01, 03, sd, st
``12``  code       packed attempts of st, sd and 01
``st``  code       ``name:source``, source from inspect
``sd``  code       ``name:source``, source from dill
======  =========  =======================================================================================

(Observed of globus-compute-sdk 4.19.) What is callable is code, everything else data. Reading runs code: only
the submitting client and the worker call :func:`loads`; everything in between uses `serialization.packing`.
This module runs inside workers too, so dill is imported when it is needed.
"""

from __future__ import annotations

import base64
import json
import linecache
import pickle
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from compute_executor.errors import ComputeError, InvalidRequest, ResultDecodeError, SerializationError
from compute_executor.serialization import packing, sdk_classes

DATA_METHOD = packing.DATA
CODE_METHOD = packing.CODE


class Method(NamedTuple):
    """One way to make text of an object. ``dumps`` is None where the method is only read."""

    name: str
    for_code: bool
    dumps: Callable[[Any], str] | None
    loads: Callable[[str], Any]


def dumps(obj: Any, method: str | None = None) -> str:
    """Return the buffer of an object, by the default method for it or by the one named.

    Raises SerializationError with the method and the reason; InvalidRequest for a method there is not.
    """
    name = method or (CODE_METHOD if callable(obj) else DATA_METHOD)
    chosen = _method(name)
    if chosen.dumps is None:
        raise InvalidRequest(f"buffers of method {name} are only read; write {CODE_METHOD} instead")
    try:
        return f"{name}\n{chosen.dumps(obj)}"
    except Exception as error:
        raise SerializationError(f"method {name} cannot serialise {obj!r:.200}: {error}") from error


def loads(buffer: str) -> Any:
    """Return the object of a buffer. Raises ResultDecodeError with the method and the reason.

    >>> loads('11\\n[1, 2]')
    [1, 2]
    """
    name, newline, payload = buffer[:2], buffer[2:3], buffer[packing.HEADER :]
    if newline != "\n" or name not in METHODS:
        raise ResultDecodeError(f"{buffer[:3]!r} begins no buffer; methods are {', '.join(METHODS)}")
    try:
        return METHODS[name].loads(payload)
    except Exception as error:
        raise ResultDecodeError(
            f"a {name} buffer of {len(buffer)} characters cannot be read: {error}"
        ) from error


def loads_call(packed: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``(args, kwargs)`` of a packed call. Raises InvalidRequest or ResultDecodeError."""
    args, kwargs = (loads(buffer) for buffer in packing.unpack(packed))
    return tuple(args), kwargs


def dumps_call(args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """Return the packed call ``pack([args, kwargs])`` by the default method."""
    return packing.pack([dumps(tuple(args), DATA_METHOD), dumps(kwargs, DATA_METHOD)])


def dumps_function(function: Callable[..., Any], method: str | None = None) -> str:
    """Return the packed function ``pack([function])``."""
    return packing.pack([dumps(function, method or CODE_METHOD)])


def _method(name: str) -> Method:
    if name not in METHODS:
        raise InvalidRequest(f"there is no buffer method {name!r}; methods are {', '.join(METHODS)}")
    return METHODS[name]


# -- streams ------------------------------------------------------------------------------------------------


def _dill_text(obj: Any) -> str:
    import dill  # 50 ms, and only stock peers need it

    return base64.encodebytes(dill.dumps(obj)).decode("ascii")


def _dill_object(payload: str) -> Any:
    import dill

    stream = base64.b64decode(payload)
    return sdk_classes.load(stream) if sdk_classes.MARK in stream else dill.loads(stream)


def _pickle_object(payload: str) -> Any:
    stream = base64.b64decode(payload)
    return sdk_classes.load(stream) if sdk_classes.MARK in stream else pickle.loads(stream)


# -- source -------------------------------------------------------------------------------------------------


def _inspect_source(function: Callable[..., Any]) -> str:
    import inspect  # 10 ms, and only writing source needs it

    return textwrap.dedent(inspect.getsource(function))


def _dill_source(function: Callable[..., Any]) -> str:
    import dill.source

    source: str = dill.source.getsource(function, lstrip=True)
    return source


def _named(source_of: Callable[[Callable[..., Any]], str]) -> Callable[[Callable[..., Any]], str]:
    """``name:source`` of a function."""
    return lambda function: f"{function.__name__}:{source_of(function)}"


def _named_stream(source_of: Callable[[Callable[..., Any]], str]) -> Callable[[Callable[..., Any]], str]:
    """``(name, source)`` of a function, as a dill stream."""
    return lambda function: _dill_text((function.__name__, source_of(function)))


def _function_of_text(payload: str) -> Any:
    name, _, source = payload.partition(":")
    return _compiled(name, source)


def _function_of_stream(payload: str) -> Any:
    return _compiled(*_dill_object(payload))


def _compiled(name: str, source: str) -> Any:
    """Return the object called ``name`` after running the source in a namespace of its own.

    The source is put into linecache, so that tracebacks show its lines.
    """
    filename = f"<source of {name}>"
    source = textwrap.dedent(source)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "__compute_executor_source__"}
    exec(compile(source, filename, "exec"), namespace)  # running the caller's code is the job
    return namespace[name]


# -- several attempts in one --------------------------------------------------------------------------------


def _attempts(*methods: str) -> Callable[[Any], str]:
    """Return a packed list of what those of ``methods`` make that can."""

    def write(obj: Any) -> str:
        made, failures = [], []
        for method in methods:
            try:
                made.append(dumps(obj, method))
            except ComputeError as error:
                failures.append(str(error))
        if not made:
            raise SerializationError("; ".join(failures))
        return packing.pack(made)

    return write


def _first_readable(buffers: Sequence[str]) -> Any:
    failures = []
    for buffer in buffers:
        try:
            return loads(buffer)
        except ResultDecodeError as error:
            failures.append(str(error))
    raise ResultDecodeError("; ".join(failures) or "it holds nothing")


def _packed_object(payload: str) -> Any:
    return _first_readable(packing.unpack(payload))


def _colons_text(function: Callable[..., Any]) -> str:
    """``method``, newline, ``:payload`` pairs. Source methods are left out: their payloads have colons themselves."""
    pairs = []
    for method in ("04", "01", "03"):
        try:
            pairs.append(f"{method}\n:{dumps(function, method)[packing.HEADER :]}")
        except SerializationError:
            continue
    if not pairs:
        raise SerializationError("neither its source can be found nor dill can serialise it")
    return ":".join(pairs)


def _colons_object(payload: str) -> Any:
    parts = payload.split(":")
    return _first_readable(
        [f"{method.strip()}\n{data}" for method, data in zip(parts[::2], parts[1::2], strict=False)]
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("00", False, _dill_text, _dill_object),
        Method("11", False, json.dumps, json.loads),
        Method("13", False, _attempts("11", "00"), _packed_object),
        Method("01", True, _dill_text, _dill_object),
        Method("02", True, None, _pickle_object),
        Method("03", True, _named_stream(_inspect_source), _function_of_stream),
        Method("04", True, _named_stream(_dill_source), _function_of_stream),
        Method("10", True, _colons_text, _colons_object),
        Method("12", True, _attempts("st", "sd", "01"), _packed_object),
        Method("st", True, _named(_inspect_source), _function_of_text),
        Method("sd", True, _named(_dill_source), _function_of_text),
    )
}
"""Every buffer method by its name."""
