"""What ``status`` says of what a service has answered. Plain values: no I/O; time is an argument."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

from compute_executor.cli.local_service import LocalService
from compute_executor.cli.summary import count, one_line
from compute_executor.durations import length
from compute_executor.endpoint_summary import load_of
from compute_executor.sweeps.tally import duration

STATES = ("queued", "running", "succeeded", "failed", "lost", "cancelled")
ENDED = STATES[2:]
GROUPS, FUNCTIONS = 5, 10
"""Lines for groups with open tasks, and for functions, at most."""
_SURVIVED = {"process": "the death of any process", "machine": "a loss of power"}


class Look(NamedTuple):
    """What a service answered at one moment. ``overview``: None for whoever is no operator. ``now``: Unix time.
    ``endpoints``: those of this package."""

    url: str
    local: LocalService | None
    version: dict[str, Any]
    overview: dict[str, Any] | None
    figures: dict[str, Any]
    groups: list[dict[str, Any]]
    now: float
    endpoints: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        """For another program."""
        local = {} if self.local is None else {"pid": self.local.pid, "folder": str(self.local.folder)}
        overview = self.overview or {}
        figures = {**self.figures, "counts": self.figures["tasks"]}
        del figures["tasks"]  # the overview's are those of the engines
        still_open = [group for group in self.groups if group["queued"] or group["running"]]
        return {
            "url": self.url,
            **local,
            **self.version,
            **overview,
            **figures,
            "groups": still_open,
            "endpoints": self.endpoints,
        }

    def ended(self) -> int:
        """Return tasks that have ended, of all that are kept."""
        return sum(self.figures["tasks"][state] for state in ENDED)


def lines(seen: Look, before: Look | None = None) -> list[str]:
    """Return what is shown, line by line. ``before``: an earlier look, for the rate between the two."""
    rows = [
        *_service(seen),
        *_tasks(seen, before),
        *_groups(seen.groups),
        *_functions(seen.figures["functions"]),
        *_endpoints(seen.endpoints),
    ]
    if seen.overview is not None:
        rows += [*_workers(seen.overview), *_pools(seen.overview), *_environments(seen.overview)]
    return [f"{name:9}{one_line(text)}" for name, text in rows]


def one_line_of(seen: Look, before: Look | None) -> str:
    """Return the same in one line, for a log."""
    moment = datetime.fromtimestamp(seen.now).astimezone().isoformat(" ", "seconds")
    counts = ", ".join(f"{seen.figures['tasks'][state]:,} {state}" for state in STATES)
    return f"{moment}  {counts}, {_per_second(rate(seen, before))}"


def rate(seen: Look, before: Look | None) -> float:
    """Return tasks that ended per second: since ``before``, or in the last minute."""
    if before is None or seen.now <= before.now:
        return float(seen.figures["rate"])
    return max(0, seen.ended() - before.ended()) / (seen.now - before.now)


def _service(seen: Look) -> list[tuple[str, str]]:
    where = f"{seen.url}, version {seen.version.get('compute_executor', 'unknown')}"
    if seen.overview is None:
        return [("service", where)]
    pid = f", pid {seen.local.pid}" if seen.local else ""
    folder = f"{seen.local.folder}, " if seen.local else ""
    stalled = (
        "" if seen.overview["storing"] == "ok" else "; results cannot be stored at the moment, see the log"
    )
    return [
        ("service", f"{where}{pid}, up {duration(seen.overview['uptime'])}"),
        ("state", f"{folder}survives {_SURVIVED[seen.overview['durability']]}{stalled}"),
        ("clients", f"{seen.overview['connections']:,} connected"),
        *_disk(seen.overview.get("disk")),
    ]


def _disk(disk: dict[str, int] | None) -> list[tuple[str, str]]:
    if disk is None:  # an older service
        return []
    used, budget, free = (size_of(disk[name]) for name in ("used", "budget", "free"))
    return [("disk", f"{used} of large arguments and results, {budget} are allowed, {free} free")]


def size_of(count: int) -> str:
    """Return the bytes, for reading.

    >>> size_of(0), size_of(1_500), size_of(2_340_000), size_of(12_000_000_000)
    ('0 B', '1.5 KB', '2.3 MB', '12 GB')
    """
    number, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):  # noqa: B007 - the last one is read below
        if number < 1000:
            break
        number /= 1000
    else:
        unit = "TB"
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"


def _tasks(seen: Look, before: Look | None) -> list[tuple[str, str]]:
    counts = ", ".join(f"{seen.figures['tasks'][state]:,} {state}" for state in STATES)
    since = "in the last minute" if before is None else "now"
    return [("tasks", counts), ("rate", f"{_per_second(rate(seen, before))} {since}")]


def _per_second(value: float) -> str:
    return f"{value:,.0f} tasks/s" if value >= 10 else f"{value:.2g} tasks/s"


def _groups(groups: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = [group for group in groups if group["queued"] or group["running"]]
    rows = [("group", _group(group)) for group in found[:GROUPS]]
    if len(found) > GROUPS:
        rows.append(("", f"and {count(len(found) - GROUPS, 'group')} more: compute-executor groups"))
    return rows


def _group(group: dict[str, Any]) -> str:
    name = " ".join(filter(None, (group["id"][:8], group.get("name", group["label"]), group["program"])))
    client = "" if group["clients"] else ", its program is not there"
    return f"{name}: {group['queued']:,} queued, {group['running']:,} running{client}"


def _functions(functions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    rows = [("function", _function(one)) for one in functions[:FUNCTIONS]]
    if len(functions) > FUNCTIONS:
        rows.append(("", f"and {len(functions) - FUNCTIONS} more: --json has them"))
    return rows


def _function(figures: dict[str, Any]) -> str:
    ends = ", ".join(f"{figures[state]:,} {state}" for state in ENDED if figures[state])
    if figures["mean"] is None:
        return f"{figures['function']}: {ends}"
    times = f"{length(figures['mean'])} each, {length(figures['longest'])} the longest"
    return f"{figures['function']}: {ends}, {times}"


def _endpoints(endpoints: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        ("endpoint", f"{one['name']}: {'online' if one['online'] else 'offline'}, {load_of(one)}")
        for one in endpoints
    ]


def _workers(overview: dict[str, Any]) -> list[tuple[str, str]]:
    states = Counter(worker["state"] for worker in overview["workers"])
    counts = "".join(f", {number} {state}" for state, number in sorted(states.items()))
    rows = [("", f"pid {w['pid']} {w['state']} {w['task'] or ''}".rstrip()) for w in overview["workers"]]
    return [("workers", f"{len(rows)} in all{counts}"), *rows]


def _pools(overview: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "pool",
            f"{pool['label'] or pool['pool'][:8]}: {pool['state']}, {count(pool['open_tasks'], 'open task')}, "
            f"up to {count(pool['max_workers'], 'worker')}, {count(pool['clients'], 'client')}"
            + (f", in container {pool['container']}" if pool.get("container") else ""),
        )
        for pool in overview["pools"]
    ]


def _environments(overview: dict[str, Any]) -> list[tuple[str, str]]:
    return [("built", f"{one['environment']}: {one['state']}") for one in overview.get("environments", [])]
