"""The one builder of `frames.Submit`, used by the Executor, by the Client and by the service's JSON routes. No I/O.

Every argument is named and none has a default, so that a caller who forgets one hears of it from the type checker
and not from a task that ran without what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from compute_executor.protocol.frames import Blob, Body, Options, Submit

_encode = msgspec.msgpack.Encoder().encode


def build_submit(
    calls: Iterable[tuple[bytes, Body]],
    *,
    prefix: bytes,
    group: bytes,
    endpoint: bytes,
    pool: bytes | None,
    options: Options,
    parts: list[Blob],
) -> Submit:
    """Return a Submit of ``calls``, in their order: of each the name of its function (a digest or an id) and its
    arguments.

    A function that several calls share is named once. For the other arguments see `Submit`.
    """
    numbers: dict[bytes, int] = {}
    tasks = [(numbers.setdefault(function, len(numbers)), body) for function, body in calls]
    return Submit(
        prefix=prefix,
        group=group,
        endpoint=endpoint,
        pool=pool,
        functions=list(numbers),
        tasks=msgspec.Raw(_encode(tasks)),
        count=len(tasks),
        options=options,
        parts=parts,
    )


def endpoint_options(
    *,
    resource_specification: dict[str, Any] | None,
    user_endpoint_config: dict[str, Any] | None,
    result_serializers: list[str] | None,
    user_runtime: dict[str, Any] | None,
) -> Options:
    """Return the options of a batch that stock endpoints read. See `Options`."""
    return Options(
        resource_specification=resource_specification,
        user_endpoint_config=user_endpoint_config,
        result_serializers=result_serializers,
        user_runtime=user_runtime,
    )
