"""What ``doctor`` concludes from what it saw: values in, findings out. No I/O.

Each check says what is so, and if something is wrong, what to do.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from compute_executor._version import __version__
from compute_executor.endpoint_summary import blocks_of, load_of, troubles_of
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ServiceUnavailable,
    VersionMismatch,
)

OK, WARNING, WRONG = "ok", "warning", "wrong"

SKEW_NOTED = 5.0
SKEW_HARMFUL = 120.0
"""Seconds between two clocks. A stock endpoint passes over commands that are 180 s off."""


class Finding(NamedTuple):
    """What was looked at, how it is, in words, and what to do about it."""

    name: str
    state: str
    text: str
    advice: str = ""


def trouble(name: str, error: ComputeError) -> Finding:
    """Note that something could not even be looked at."""
    return Finding(name, WRONG, str(error), _advice(error))


def _advice(error: ComputeError) -> str:
    if isinstance(error, InvalidRequest):
        return "correct it, and look again"
    if isinstance(error, NotAuthorized):
        return "log in again (compute-executor login), or check the token or the client credentials"
    if isinstance(error, NotFound):
        return "check the address and the id: another service may be listening there"
    if isinstance(error, VersionMismatch):
        return "update the older side"
    if isinstance(error, ServiceUnavailable):
        return "check the address, the network and any proxy; is the service running?"
    return "see the service's log"


def configuration(place: str, there: bool, profiles: Iterable[str], troubles: Mapping[str, str]) -> Finding:
    """Return the configuration file. ``troubles``: what is wrong with the files that profiles name, by profile."""
    if not there:
        return Finding("configuration", OK, f"there is no {place}, and none is needed")
    if troubles:
        text = "; ".join(f"profile {name}: {trouble}" for name, trouble in troubles.items())
        return Finding("configuration", WRONG, text, f"make the files, or change {place}")
    names = ", ".join(profiles)
    return Finding("configuration", OK, f"{place}{f', with profiles {names}' if names else ''}")


def service(document: Mapping[str, Any], url: str) -> Finding:
    """Return which service answers."""
    ours = document.get("compute_executor")
    if ours is None:
        return Finding(
            "service", OK, f"{url} is Globus Compute, or speaks as it does (API {document.get('api')})"
        )
    if _minor(str(ours)) != _minor(__version__):
        return Finding(
            "service",
            WARNING,
            f"{url} is compute_executor {ours}, this is {__version__}",
            "use the same version on both sides",
        )
    return Finding("service", OK, f"{url} is compute_executor {ours}")


def clocks(date_header: str | None, now: float) -> Finding:
    """Return how far the service's clock is from ours. ``now``: Unix time at which the answer came."""
    try:
        skew = parsedate_to_datetime(date_header or "").timestamp() - now
    except (ValueError, TypeError):
        return Finding("clocks", WARNING, "the service does not tell its time")
    text = f"the service's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this one"
    if abs(skew) > SKEW_HARMFUL:
        return Finding(
            "clocks", WRONG, text, "set the wrong one right (NTP): tokens and commands have times in them"
        )
    if abs(skew) > SKEW_NOTED:
        return Finding("clocks", WARNING, text, "times of results are not comparable; set the clocks by NTP")
    return Finding("clocks", OK, "agree")


def endpoint(document: Mapping[str, Any], status: Mapping[str, Any]) -> Finding:
    """Return an endpoint, and whether what it runs fits what is here."""
    name = f"endpoint {document.get('name') or document.get('uuid')}"
    if status.get("status") != "online":
        return Finding(
            name,
            WRONG,
            f"is {status.get('status') or 'in an unknown state'}",
            "start it: tasks wait until it is online",
        )
    python = document.get("python_version") or _metadata(document).get("python_version")
    if python and _minor(str(python)) != _minor(platform.python_version()):
        return Finding(
            name,
            WARNING,
            f"is online, with Python {python}; here is {platform.python_version()}",
            "use the same Python on both sides, or Executor(by_source=True)",
        )
    return Finding(name, OK, f"is online{f', with Python {python}' if python else ''}")


def agent(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield an endpoint of this package, and its machines as far as whoever asks may see them."""
    name = f"endpoint {document['name']}"
    if not document["online"]:
        text = f"is offline, with {document['open']:,} open tasks"
        yield Finding(name, WRONG, text, f"start it: compute-executor endpoint start {document['name']}")
        return
    others = [python for python in document["pythons"] if _minor(python) != _minor(platform.python_version())]
    if others:
        text = f"is online, with Python {', '.join(others)}; here is {platform.python_version()}: {load_of(document)}"
        yield Finding(name, WARNING, text, "use the same Python on both sides, or Executor(by_source=True)")
    else:
        yield Finding(name, OK, f"is online: {load_of(document)}")
    for host, trouble in troubles_of(document):
        advice = f"there: compute-executor endpoint logs {document['name']}, with --engine or --block ID"
        yield Finding(f"{name} on {host}", WRONG, trouble, advice)
    for machine in document.get("machines", ()):
        if machine["connected"] and _minor(machine["version"]) != _minor(__version__):
            text = f"is compute_executor {machine['version']}, this is {__version__}"
            yield Finding(f"{name} on {machine['host']}", WARNING, text, "use the same version on both sides")
        if not machine["connected"] and machine["leased"]:
            text = f"is away with {machine['leased']:,} tasks, which wait for it"
            advice = f"start it again, or give them up: compute-executor endpoint forget {document['name']}"
            yield Finding(f"{name} on {machine['host']}", WARNING, text, advice)
    for block in blocks_of(document):
        if block.state == "pending" and block.reason:
            text = f"job {block.job} waits: {block.reason}"
            yield Finding(f"{name} on {block.machine}", OK, text)


def broker(url_shown: str, error: Exception | None, trouble: str = "") -> Finding:
    """Return whether the result queues' broker lets us in, and takes messages. ``url_shown``: without the password;
    ``trouble``: what the service says of it."""
    if error is None and trouble:
        advice = (
            "free memory or disk there (rabbitmqctl status shows alarms); tasks and results wait meanwhile"
        )
        return Finding("broker", WARNING, f"{url_shown} lets us in, but: {trouble}", advice)
    if error is None:
        return Finding("broker", OK, f"{url_shown} lets us in")
    return Finding(
        "broker",
        WARNING,
        f"{url_shown}: {error}",
        "results come by polling meanwhile; port 443 or 5671 to the broker may be blocked",
    )


def _metadata(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
