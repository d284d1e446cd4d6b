"""What is said of an endpoint of this package: from the document that a service gives of it to words. No I/O.

Machines are in the document for whoever manages the endpoint; others see how many workers there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class BlockView(NamedTuple):
    """A job, or a long task of an engine, in which workers of an endpoint are. ``workers``, ``leased``: of its
    pilots, as far as these are connected."""

    machine: str
    block: str
    job: str
    state: str
    reason: str
    workers: int
    leased: int


def blocks_of(endpoint: Mapping[str, Any]) -> list[BlockView]:
    """Return the blocks of all machines of an endpoint."""
    return [block for machine in _connected(endpoint) for block in _blocks(machine)]


def _connected(endpoint: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in endpoint.get("machines", ()) if one["connected"]]


def _blocks(machine: Mapping[str, Any]) -> Iterator[BlockView]:
    state = machine["state"]
    pilots = _documents(state.get("pilots"))
    for block in _documents(state.get("blocks")):
        slot = str(block.get("slot", ""))
        mine = [pilot for pilot in pilots if pilot.get("slot") == slot]
        yield BlockView(
            str(machine["host"]),
            slot,
            str(block.get("job", "")),
            str(block.get("state", "")),
            str(block.get("reason", "")),
            sum(_number(pilot.get("workers")) for pilot in mine),
            sum(_number(pilot.get("leased")) for pilot in mine),
        )


def _documents(value: Any) -> list[Mapping[str, Any]]:
    """Return a list as a machine has sent it, which may be anything."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def load_of(endpoint: Mapping[str, Any]) -> str:
    """Engine, workers, tasks and blocks, in one line.

    >>> load_of({"engine": "dask", "workers": 2, "running": 1, "open": 1200, "machines": []})
    'dask, 2 workers, 1 running, 1,200 open'
    """
    parts = [endpoint["engine"] or "never connected"]
    machines = _connected(endpoint)
    if len(machines) > 1:
        parts.append(f"{len(machines)} machines")
    parts += [f"{endpoint[name]:,} {name}" for name in ("workers", "running", "open")]
    if said := _said_of_blocks(blocks_of(endpoint)):
        parts.append(said)
    parts += [f"on {host}: {trouble}" for host, trouble in troubles_of(endpoint)]
    return ", ".join(parts)


def _said_of_blocks(blocks: list[BlockView]) -> str:
    if not blocks:
        return ""
    states = Counter(block.state for block in blocks)
    reasons = sorted({block.reason for block in blocks if block.state == "pending" and block.reason})
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"blocks: {counts}{why}"


def troubles_of(endpoint: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Host and trouble of each machine that has one: why it cannot start workers, or gets no blocks."""
    found = [
        (str(one["host"]), one["trouble"] or one["state"].get("trouble")) for one in _connected(endpoint)
    ]
    return [(host, str(trouble)) for host, trouble in found if trouble]
