"""The options of a call: declared once, with their check and with who keeps them. No I/O.

To add one: a field of `frames.Options`, a line in `CALL_OPTIONS`, a keyword of `Executor.options`, and what the
service does with it. Whether an option is kept where a call goes is checked from the table, so that none is dropped
in silence.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from compute_executor import checks
from compute_executor.durations import seconds_of
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.frames import UNTIL_TAKEN, Options
from compute_executor.protocol.resources import count, memory_size, stock_specification

OURS, AGENT, STOCK, HOSTED = EndpointKind.OURS, EndpointKind.AGENT, EndpointKind.STOCK, EndpointKind.HOSTED


def _plain(value: Any) -> int | float:
    """Return a number of numpy's, for instance, as one that travels. Raises TypeError for anything else."""
    return operator.index(value) if hasattr(value, "__index__") else checks.real("a value", value)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder(Options).decode


def _keep(name: str, value: Any) -> float:
    """Return how long outcomes are kept, in seconds. Raises TypeError and ValueError."""
    if value == "until taken":
        return UNTIL_TAKEN
    if isinstance(value, str):
        try:
            value = seconds_of(value)
        except ValueError:
            raise ValueError(
                f'{name} must be seconds, a time such as "36h" or "14d", or "until taken", not {value!r}'
            ) from None
    return checks.seconds(name, value, zero=False)


def _document(name: str, value: Any) -> dict[str, Any]:
    """Return a mapping that JSON can hold. Raises TypeError for what is none: a set would arrive as a list."""
    found = checks.mapping(name, value)
    try:
        json.dumps(found, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name}: only what JSON can hold can be sent to an endpoint ({error})") from None
    return found


class CallOption(NamedTuple):
    """Declaration of an option. ``keyword``: its name for users; ``field``: of `frames.Options`; ``check`` gets the
    keyword and a value and returns what travels; ``kept_by``: the kinds of endpoints that do what it says."""

    keyword: str
    field: str
    check: Callable[[str, Any], Any]
    kept_by: frozenset[EndpointKind]


CALL_OPTIONS = (
    CallOption(
        "retries",
        "retries",
        lambda name, value: checks.integer(name, value, least=0),
        frozenset({OURS, AGENT, STOCK}),
    ),
    CallOption(
        "timeout",
        "walltime",
        lambda name, value: checks.seconds(name, value, zero=False),
        frozenset({OURS, AGENT}),
    ),
    CallOption("keep", "keep", _keep, frozenset({OURS, AGENT, STOCK})),
    CallOption("container", "container", lambda _, value: value, frozenset({OURS})),
    CallOption("cores", "cores", count, frozenset({OURS, AGENT})),
    CallOption("memory", "memory", memory_size, frozenset({OURS, AGENT})),
    CallOption("gpus", "gpus", count, frozenset({OURS, AGENT})),
    CallOption("nodes", "nodes", count, frozenset(EndpointKind)),
    CallOption("ranks", "ranks", count, frozenset(EndpointKind)),
    CallOption("resource_specification", "resource_specification", _document, frozenset({STOCK, HOSTED})),
    CallOption("user_endpoint_config", "user_endpoint_config", _document, frozenset({STOCK, HOSTED})),
    CallOption("result_serializers", "result_serializers", checks.texts, frozenset({STOCK, HOSTED})),
)
"""In the order in which errors name them."""

_BY_KEYWORD = {option.keyword: option for option in CALL_OPTIONS}
_DEFAULTS = Options()


def with_options(options: Options, **given: Any) -> Options:
    """Return ``options`` with what is ``given`` by keyword; None leaves an option as it is.

    The result shares nothing with what was passed. Raises TypeError and ValueError for wrong values.
    """
    return _frozen(options, {name: value for name, value in given.items() if value is not None})


def replace_option(options: Options, keyword: str, value: Any) -> Options:
    """Return ``options`` with this one set; None takes it away. Raises TypeError and ValueError for a wrong value."""
    if value is None:
        option = _BY_KEYWORD[keyword]
        return msgspec.structs.replace(options, **{option.field: getattr(_DEFAULTS, option.field)})
    return _frozen(options, {keyword: value})


def _frozen(options: Options, given: dict[str, Any]) -> Options:
    fields = {_BY_KEYWORD[name].field: _BY_KEYWORD[name].check(name, value) for name, value in given.items()}
    try:
        return _decode(_encode(msgspec.structs.replace(options, **fields)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        names = " and ".join(given)
        raise TypeError(f"{names}: only what JSON can hold can be sent to an endpoint ({error})") from None


def check_kept(options: Options, kind: EndpointKind) -> None:
    """Raise InvalidRequest for options that the endpoint would not keep, or that say nothing to it."""
    dropped = [
        option
        for option in CALL_OPTIONS
        if kind not in option.kept_by and getattr(options, option.field) != getattr(_DEFAULTS, option.field)
    ]
    if dropped:
        raise InvalidRequest(_refusal(dropped, kind))
    if kind in (STOCK, HOSTED):
        stock_specification(options)


def _refusal(dropped: list[CallOption], kind: EndpointKind) -> str:
    names = _listed(option.keyword for option in dropped)
    keepers = {keeper for option in dropped for keeper in option.kept_by}
    listed = _listed((keeper.value for keeper in EndpointKind if keeper in keepers), "or")
    verb = "is" if len(dropped) == 1 else "are"
    advice = (
        "pass the id of such an endpoint (endpoint_id), or leave it out"
        if kind is OURS
        else "such limits are set in the endpoint's own configuration"
    )
    return f"{names} {verb} not kept by {kind.value}, only by {listed}: {advice}"


def _listed(names: Iterable[str], word: str = "and") -> str:
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
