"""Checks of the arguments that an Executor is made with, and of those of its views. Pure."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec

from compute_executor import checks
from compute_executor.protocol.call_options import with_options
from compute_executor.protocol.frames import Options
from compute_executor.protocol.ids import MAX_BATCH
from compute_executor.sdk.names import AnyId, canonical

if TYPE_CHECKING:
    from compute_executor.serialize import ComputeSerializer, Strategylike

BURST, BURST_WINDOW = 4, 16
"""Of the two numbers of a pace, the one that is not given: as in the Globus Compute SDK."""


def check_output(output: str) -> None:
    """Raise ValueError for what is no place for the output of tasks."""
    if output not in ("program", "log"):
        raise ValueError(f"output must be 'program' or 'log', not {output!r}")


P = ParamSpec("P")


def number_first(init: Callable[P, None]) -> Callable[P, None]:
    """Decorate the constructor of an Executor, so that a number in its first position is ``max_workers``:
    ``Executor(4)`` means what it means for the standard pools."""

    @functools.wraps(init)
    def made(*args: P.args, **kwargs: P.kwargs) -> None:
        if len(args) > 1 and is_number(args[1]):
            if "max_workers" in kwargs:
                raise TypeError(f"max_workers is given twice: {args[1]} by position, and by its name")
            kwargs["max_workers"] = args[1]
            args = (args[0], None, *args[2:])  # type: ignore[assignment]
        init(*args, **kwargs)

    return made


def is_number(value: object) -> bool:
    """Return whether a value is one of the kinds of numbers, also numpy's."""
    return hasattr(value, "__index__") or hasattr(value, "__float__")


def check_endpoint(value: object) -> None:
    """Raise TypeError for a number that is passed as ``endpoint_id``."""
    if is_number(value):
        raise TypeError(
            f"endpoint_id must be the id or the name of an endpoint, not {value!r}; for so many workers of its own: "
            f"Executor(max_workers={value!r})"
        )


def check_workers(max_workers: Any, initializer: Any) -> int | None:
    """Return the number of workers. Raises TypeError and ValueError, with the words of ThreadPoolExecutor."""
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if max_workers is None:
        return None
    number = checks.integer("max_workers", max_workers)
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")
    return number


def endpoint_options(
    endpoint_id: object,
    resource_specification: dict[str, Any] | None,
    user_endpoint_config: dict[str, Any] | None,
    result_serializers: Iterable[Strategylike] | None,
) -> Options:
    """Return the options of calls to an endpoint of Globus Compute. Raises TypeError if they are for another one, and
    as `with_options` and `strategy_paths` do."""
    options = with_options(
        Options(),
        resource_specification=resource_specification,
        user_endpoint_config=user_endpoint_config,
        result_serializers=strategy_paths(result_serializers),
    )
    if endpoint_id is None and options != Options():
        raise TypeError(
            "resource_specification, user_endpoint_config and result_serializers are for endpoints of Globus "
            "Compute (endpoint_id), which this is none"
        )
    return options


def check_client(client: Any) -> Any:
    """Return a Client. Raises TypeError for what is none."""
    if hasattr(client, "own_api"):
        return client
    raise TypeError(
        f"client must be a compute_executor.Client, not {client!r:.100} of type {type(client).__name__}"
    )


def check_service(client: object, profile: str | None) -> None:
    """Raise TypeError if two arguments say which service, or what should is no Client."""
    if client is not None:
        check_client(client)
    if client is not None and profile is not None:
        raise TypeError("client and profile exclude each other: each says which service")


def check_own_workers(endpoint_id: object, *of_workers: object) -> None:
    """Raise TypeError if arguments for workers of the Executor's own come with an endpoint that has its workers."""
    if endpoint_id is not None and any(one is not None for one in of_workers):
        raise TypeError(
            "max_workers, initializer, gpus and threads_per_worker make workers for this Executor on its "
            "service's own endpoint; the workers of another endpoint (endpoint_id) are set up there"
        )


def check_name(name: str, label: str, task_group_id: object) -> None:
    """Raise TypeError if a ``name`` comes with what it stands for. ``label``: the name itself, if none was given."""
    if name and (task_group_id is not None or label != name):
        raise TypeError("name stands for task_group_id and label: it finds the one, and is the other")


def check_batch_size(value: int) -> int:
    """Return how many tasks leave together at most. Raises TypeError and ValueError."""
    return checks.integer("batch_size", value, least=1, most=MAX_BATCH)


def check_port(value: int | None) -> int | None:
    """Return a port of the broker; None for the one that the service names. Raises TypeError and ValueError."""
    return None if value is None else checks.integer("amqp_port", value, least=1, most=65_535)


def pace_of(limit: int | None, window: float | None) -> tuple[int, float] | None:
    """So many submits in so many seconds at most; None if neither is given. Raises TypeError and ValueError."""
    if limit is None and window is None:
        return None
    return (
        BURST if limit is None else checks.integer("api_burst_limit", limit, least=1),
        BURST_WINDOW if window is None else checks.seconds("api_burst_window_s", window, zero=False),
    )


def dicts_of(**options: Any) -> dict[str, dict[str, Any]]:
    """Return those that are dicts, which their owner may change."""
    return {name: value for name, value in options.items() if isinstance(value, dict)}


def strategies_of(serializer: ComputeSerializer | str | None) -> ComputeSerializer | None:
    """Return the serializer whose strategies say how calls travel, if there is one."""
    return None if isinstance(serializer, str) else serializer


def strategy_paths(strategies: Iterable[Strategylike] | None) -> list[str] | None:
    """Import paths under which endpoints find these strategies; paths are left as they were given. Raises SerdeError
    for what is none."""
    if strategies is None:
        return None
    from compute_executor.serialize import validate_strategylike  # only who chooses strategies pays for it

    found = [(one, validate_strategylike(one).import_path) for one in strategies]
    return [one if isinstance(one, str) else path for one, path in found]


def id_bytes(value: AnyId | None, what: str) -> bytes:
    """Return the 16 bytes of an id; none for None. Raises InvalidRequest for what is no id."""
    return b"" if value is None else uuid.UUID(canonical(value, what)).bytes
