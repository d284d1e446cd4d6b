"""Ray as an Executor: only what pilots need of one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray  # pyright: ignore[reportMissingImports] - an extra

from compute_executor.endpoint.pilots.slots import EngineGone

ANSWER_WITHIN = 10.0
"""Seconds for somebody to answer at the address of a cluster."""


class RayTasks(Executor):
    """Tasks of a Ray cluster, each run once. ``address``: of the cluster; None: one on this machine."""

    def __init__(self, address: str | None) -> None:
        if address is not None:
            _require(address)
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        except (ValueError, ConnectionError) as error:
            where = "on this machine" if address is None else f"at --address {address}"
            raise ValueError(f"there is no Ray {where}: {error}") from error

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See Executor."""
        reference = ray.remote(fn).options(max_retries=0).remote(*args, **kwargs)
        found: Future[Any] = reference.future()
        return found

    def slots(self) -> int:
        """Return how many tasks can run at a time. Raises EngineGone."""
        try:
            return int(ray.cluster_resources().get("CPU", 1))
        except Exception as error:
            raise EngineGone(f"Ray does not answer any more: {type(error).__name__}: {error}") from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """See Executor."""
        ray.shutdown()


def _require(address: str) -> None:
    """Raise ValueError if nobody listens where a cluster should be: Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):  # such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray answers at {address}: {error}. Look at --address, and whether `ray start` runs there"
        ) from None
