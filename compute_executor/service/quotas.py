"""How much of a shared service one user may have. Pure.

The bounds are the `ServiceLimits` whose names begin with ``user_``. They are for the guests of a service: whoever
runs it, which is the one user of a service of one's own, has none but the machine's.
"""

from __future__ import annotations

from typing import NamedTuple

from compute_executor.errors import BacklogFull, QuotaExceeded
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.limits import ServiceLimits


class Quota(NamedTuple):
    """What a bound is about, what a user who meets it can do, and the error that says so."""

    what: str
    advice: str
    error: type[QuotaExceeded] = QuotaExceeded


QUOTAS = {
    "user_open_tasks": Quota(
        "open tasks", "send them again when some have ended, or cancel some", BacklogFull
    ),
    "user_pools": Quota("open pools", "shut down Executors that are not needed any more"),
    "user_pool_bytes": Quota(
        "bytes in the specifications of open pools (environment, path)",
        "shut down Executors that are not needed any more, or start the program with a smaller environment",
    ),
    "user_functions": Quota("registered functions", "delete some (Client.delete_function)"),
    "user_stored": Quota(
        "bytes kept here (arguments, results, functions)",
        "what a client has received goes after a while; cancel what waits, and receive what has ended",
    ),
    "user_files": Quota(
        "files kept here (arguments and results above 64 KiB)",
        "what a client has received goes after a while; cancel what waits, and receive what has ended",
    ),
    "user_groups": Quota(
        "task groups that are listened to", "close Executors and programs that are not needed any more"
    ),
    "user_endpoints": Quota(
        "registered endpoints", "delete those that are not needed (compute-executor endpoint delete)"
    ),
    "user_streams": Quota("open streams", "close Executors and programs that are not needed any more"),
}
"""By the name of the limit."""


def is_bounded(who: Identity) -> bool:
    """Return whether there are bounds for this user."""
    return who.id != LOCAL_USER and who.endpoint is None


def require_quota(limits: ServiceLimits, who: Identity, name: str, used: int, more: int = 1) -> None:
    """Raise QuotaExceeded if ``more`` would be too much for a user who has ``used`` already."""
    limit: int = getattr(limits, name)
    if is_bounded(who) and used + more > limit:
        what, advice, error = QUOTAS[name]
        raise error(
            f"{who.name} has {used:,} {what}; {more:,} more would be over the limit of {limit:,} for each user "
            f"({name}): {advice}, or ask whoever runs this service to raise it"
        )
