"""What is said of an endpoint, whatever its machines have sent."""

from __future__ import annotations

from typing import Any

from compute_executor.endpoint_summary import BlockView, blocks_of, load_of, troubles_of


def endpoint(*machines: dict[str, Any], engine: str = "slurm") -> dict[str, Any]:
    return {"engine": engine, "workers": 4, "running": 1, "open": 12, "machines": list(machines)}


def machine(*, connected: bool = True, trouble: str = "", **state: Any) -> dict[str, Any]:
    return {"host": "h", "connected": connected, "trouble": trouble, "state": state}


def test_blocks_with_their_workers() -> None:
    found = machine(
        blocks=[{"slot": "a", "job": "7", "state": "running", "reason": ""}],
        pilots=[{"slot": "a", "workers": 2, "leased": 3}, {"slot": "a", "workers": 1, "leased": 0}],
    )
    assert blocks_of(endpoint(found)) == [BlockView("h", "a", "7", "running", "", 3, 3)]
    assert blocks_of(endpoint({**found, "connected": False})) == []


def test_what_a_machine_sends_may_be_anything() -> None:
    strange: Any
    for strange in (None, 5, "x", [1, None], [{"slot": {}}], {"slot": "a"}):
        load_of(endpoint(machine(blocks=strange, pilots=strange)))


def test_in_one_line() -> None:
    pending = {"slot": "a", "job": "7", "state": "pending", "reason": "PENDING Resources"}
    assert load_of(endpoint(machine(blocks=[pending]), machine())) == (
        "slurm, 2 machines, 4 workers, 1 running, 12 open, blocks: 1 pending (PENDING Resources)"
    )
    assert load_of(endpoint(engine="")) == "never connected, 4 workers, 1 running, 12 open"
    others = {name: value for name, value in endpoint().items() if name != "machines"}
    assert load_of(others) == "slurm, 4 workers, 1 running, 12 open", "to whoever may not see machines"


def test_troubles_of_machines_and_of_their_engines() -> None:
    found = endpoint(machine(trouble="no room"), machine(trouble="", workers=0), machine(trouble=""))
    assert troubles_of(found) == [("h", "no room")]
    engine = {**machine(), "state": {"trouble": "invalid account"}}
    assert troubles_of(endpoint(engine)) == [("h", "invalid account")]
    assert load_of(endpoint(engine)).endswith("on h: invalid account")
