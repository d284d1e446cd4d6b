"""What follows from what is seen of a user endpoint, as values: times are passed in."""

from __future__ import annotations

import pytest

from compute_executor.service.globus_compute.heartbeats import (
    ALONE,
    COMMAND_LIFE,
    MISSED,
    STILL_THERE,
    TRIED_AGAIN,
    HeartbeatReport,
    LivenessMonitor,
    is_online,
)

PERIOD = 10.0
ALIVE = HeartbeatReport(True, PERIOD, "first")
LAST = HeartbeatReport(False, PERIOD, "first")
TASK, OTHER = (1, 0), (1, 1)


def running() -> LivenessMonitor:
    watch = LivenessMonitor()
    watch.connected(0.0)
    watch.report(ALIVE, 0.0)
    return watch


def ended_with(*tasks: tuple[int, int]) -> LivenessMonitor:
    """It ended at 100, having taken these."""
    watch = running()
    watch.report(LAST, 100.0)
    watch.recovered([(task, 1) for task in tasks])
    return watch


def test_a_report_says_that_it_runs() -> None:
    watch = LivenessMonitor()
    assert not watch.running
    watch.report(ALIVE, 1.0)
    assert watch.running
    assert watch.process == "first"


def test_its_last_report_leaves_its_queue_to_be_looked_at_before_another_start() -> None:
    watch = running()
    watch.report(LAST, 100.0)
    assert (watch.running, watch.recovery_due, watch.command_due(101.0)) == (False, True, False)
    watch.recovered([])
    assert watch.command_due(101.0)


def test_without_a_consumer_it_has_ended_after_a_while() -> None:
    watch = running()
    watch.observed(0, 50.0)
    watch.observed(0, 50.0 + ALONE - 1)
    assert watch.running
    watch.observed(0, 50.0 + ALONE)
    assert not watch.running


def test_one_that_reconnects_has_not_ended() -> None:
    watch = running()
    watch.observed(0, 50.0)
    watch.observed(1, 50.0 + ALONE - 1)
    watch.observed(0, 50.0 + ALONE)
    assert watch.running


def test_what_was_not_heard_while_the_broker_was_away_means_nothing() -> None:
    watch = running()
    watch.observed(0, 50.0)
    watch.connected(500.0)
    watch.observed(0, 501.0)
    assert watch.running


def test_tasks_in_doubt_are_lost_when_three_heartbeats_are_missed() -> None:
    watch = ended_with(TASK)
    assert watch.lost(100.0 + MISSED * PERIOD - 1) == {}
    assert watch.lost(100.0 + MISSED * PERIOD) == {TASK: 1}
    assert watch.lost(1000.0) == {}


def test_another_process_does_not_acquit_them() -> None:
    watch = ended_with(TASK)
    assert watch.report(HeartbeatReport(True, PERIOD, "second"), 120.0) == {}
    assert watch.report(HeartbeatReport(True, PERIOD, "second"), 125.0) == {}, (
        "the same as before, but not the one that took them"
    )
    assert watch.lost(100.0 + MISSED * PERIOD) == {TASK: 1}


def test_the_same_process_does() -> None:
    watch = ended_with(TASK, OTHER)
    assert watch.report(ALIVE, 110.0) == {TASK: 1, OTHER: 1}
    assert watch.lost(1000.0) == {}


def test_so_does_a_result() -> None:
    watch = ended_with(TASK, OTHER)
    watch.ended(TASK)
    assert watch.lost(1000.0) == {OTHER: 1}


def test_a_command_is_repeated_when_the_last_is_void() -> None:
    watch = LivenessMonitor()
    assert watch.command_due(0.0)
    watch.commanded(0.0)
    assert not watch.command_due(1.5 * COMMAND_LIFE)
    assert watch.command_due(1.5 * COMMAND_LIFE + 0.1)
    watch.report(ALIVE, 40.0)
    assert not watch.command_due(1000.0)


def test_a_killed_ones_pid_file_is_waited_for_other_reasons_are_final() -> None:
    watch = LivenessMonitor()
    watch.commanded(0.0)
    assert watch.refused("no such template", 1.0)
    assert not watch.refused(f"| {STILL_THERE}. Refusing", 1.0)
    assert not watch.command_due(1.0 + TRIED_AGAIN)
    assert watch.command_due(1.1 + TRIED_AGAIN)


def test_children_of_an_endpoint_that_starts_anew_have_ended() -> None:
    watch = running()
    watch.parent_restarted()
    assert (watch.running, watch.recovery_due) == (False, True)
    idle = LivenessMonitor()
    idle.commanded(0.0)
    idle.parent_restarted()
    assert idle.command_due(0.1)


def test_after_a_restart_of_ours_it_is_taken_to_run() -> None:
    watch = LivenessMonitor()
    watch.restored("first")
    watch.connected(0.0)
    assert watch.running
    watch.observed(0, 0.0)
    watch.observed(0, ALONE)
    assert watch.recovery_due


def test_a_consumer_tells_after_a_restart_that_it_runs_but_not_after_its_last_report() -> None:
    watch = LivenessMonitor()
    watch.observed(1, 0.0)
    assert watch.running
    watch.report(LAST, 1.0)
    watch.observed(1, 2.0)
    assert not watch.running


@pytest.mark.parametrize(
    ("said", "age", "online"),
    [
        ({}, 80, True),
        ({}, 91, False),
        ({"heartbeat_period": 5}, 14, True),
        ({"heartbeat_period": 5}, 16, False),
        ({"heartbeat_period": 0}, 80, True),
        ({"heartbeat_period": "soon"}, 91, False),
    ],
)
def test_an_endpoint_is_online_until_it_has_missed_three_heartbeats(
    said: dict[str, object], age: float, online: bool
) -> None:
    assert is_online(said, 1000.0, 1000.0 + age) == online
