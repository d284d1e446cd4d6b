"""What is shown of a machine of an endpoint."""

from __future__ import annotations

from compute_executor.service.agents.machines import KnownMachine, Machine


def test_no_more_runs_than_it_holds_whatever_it_said_last() -> None:
    """It says how it is doing every two seconds; what has ended is known at once."""
    machine = Machine(b"pool", KnownMachine("0" * 32, "host", 1, "process", "1", "3.11", 0.0))
    machine.state = {"running": 2, "workers": 2}
    machine.leased = {(1, 0): 1, (1, 1): 1, (1, 2): 1}
    assert machine.view()["state"] == {"running": 2, "workers": 2}
    machine.leased = {(1, 2): 1}
    assert machine.view()["state"] == {"running": 1, "workers": 2}
    machine.leased = {}
    assert machine.view()["state"] == {"running": 0, "workers": 2}
    machine.state = {"running": "nonsense"}
    assert machine.view()["state"] == {"running": "nonsense"}
