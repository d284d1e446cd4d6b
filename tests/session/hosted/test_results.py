"""Results of a hosted service: by its broker when that can be reached, by asking when not, by no thread when idle."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

import pika
import pytest
from websockets.sync.server import ServerConnection

from compute_executor.backoff import Backoff
from compute_executor.batch import Target
from compute_executor.errors import ComputeError, NotAuthorized, NotFound, ServiceUnavailable
from compute_executor.protocol import frames
from compute_executor.sdk.client import ResultQueueAddress
from compute_executor.sdk.outcome import Outcome
from compute_executor.session import reconnect
from compute_executor.session.hosted import results
from compute_executor.session.hosted.pending import ExpectedResult, PendingTasks
from compute_executor.session.hosted.results import HostedResults
from tests.session.hosted.broker import URL, FakeBroker

QUEUE = "q.g"
TARGET = cast(Target, object())


def task(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def message(number: int) -> bytes:
    data = {"task_id": task(number), "data": "00\ngAROLg==\n"}
    return b"\x01" + json.dumps({"message_type": "result", "data": data}).encode()


class Around:
    """The session, the Client and its wire, as far as a Watcher looks. ``done``: what asking finds."""

    def __init__(self, broker: FakeBroker) -> None:
        self.lock = threading.Lock()
        self.pending = PendingTasks()
        self.changed = broker.changed
        self.heard: list[str] = []
        self.given_up: list[ComputeError] = []
        self.asked: list[list[str]] = []
        self.url = "http://127.0.0.1:9"  # nobody listens there
        self.addresses = 0
        self.done: set[str] = set()
        self.silent: ComputeError | None = None
        self.no_queue: ComputeError | None = None
        self.at_end: Any = lambda _outcome: None
        self.watcher = HostedResults(cast(Any, self), "g", self, grace=300.0)

    # the Desk

    def ended(self, outcome: Outcome) -> None:
        self.at_end(outcome)
        with self.lock:
            found = self.pending.pop(outcome)
        with self.changed:
            self.heard += [outcome.task_id] if found else []
            self.changed.notify_all()

    def give_up(self, error: ComputeError) -> None:
        with self.lock:
            self.pending.clear()
        with self.changed:
            self.given_up.append(error)
            self.changed.notify_all()

    # the Client

    def text_wire(self) -> Any:
        return self

    def address(self) -> str:
        return self.url

    def authorization(self) -> str:
        return "Bearer token"

    def result_queues(self) -> ResultQueueAddress:
        with self.changed:
            self.addresses += 1
            self.changed.notify_all()
        if self.no_queue is not None:
            raise self.no_queue
        return ResultQueueAddress(URL, "q.")

    def outcomes(self, task_ids: list[str]) -> dict[str, Outcome]:
        with self.changed:
            self.asked.append(list(task_ids))
            self.changed.notify_all()
        if self.silent is not None:
            raise self.silent
        return {
            name: Outcome(name, "success", frames.VALUE, b"\x80\x04N.")
            if name in self.done
            else Outcome(name, "running")
            for name in task_ids
        }

    # the test

    def expect(self, *numbers: int, group: str = "g") -> None:
        with self.lock:
            for number in numbers:
                self.pending.expect(task(number), ExpectedResult(cast(Any, None), TARGET, group))
            self.watcher.need()


@pytest.fixture
def around(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Around]:
    monkeypatch.setattr(results, "LINGER", 0.01)
    monkeypatch.setattr(results, "POLL_PAUSE", 0.005)
    monkeypatch.setattr(reconnect, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(reconnect, "LONGEST_PAUSE", 0.005)
    broker.queues[QUEUE] = deque()
    around = Around(broker)
    yield around
    around.watcher.end(5)
    assert around.watcher._thread is None or not around.watcher._thread.is_alive()


def connected(around: Around, broker: FakeBroker) -> None:
    broker.until(lambda: broker.connections and broker.connections[-1].channels)


def test_results_come_by_the_queue_and_nothing_is_asked(around: Around, broker: FakeBroker) -> None:
    around.expect(1, 2, 3)
    broker.send(QUEUE, message(2), message(2), message(1), message(3))
    broker.until(lambda: len(broker.acknowledged) == 4)
    assert around.heard == [task(2), task(1), task(3)]  # the duplicate is nobody's
    assert around.asked == []


def test_with_nothing_open_there_is_no_thread_and_no_connection(around: Around, broker: FakeBroker) -> None:
    assert around.watcher._thread is None
    around.expect(1)
    broker.send(QUEUE, message(1))
    broker.until(lambda: broker.connections and broker.connections[-1].closed)
    thread = around.watcher._thread
    if thread is not None:
        thread.join(5)
    assert around.watcher._thread is None
    assert around.watcher.reconnect.state == "not connected"
    around.expect(2)
    broker.send(QUEUE, message(2))
    broker.until(lambda: task(2) in around.heard)
    assert around.addresses == 2  # with credentials of its own time


def test_while_it_lingers_the_next_task_finds_the_connection(
    around: Around, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LINGER", 5.0)
    for number in range(3):
        around.expect(number)
        broker.send(QUEUE, message(number))
        broker.until(lambda number=number: task(number) in around.heard)  # type: ignore[misc]
    assert around.addresses == 1


def test_a_connection_lost_while_nothing_is_open_is_no_trouble(
    around: Around, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LINGER", 5.0)
    around.expect(1)
    broker.send(QUEUE, message(1))
    broker.until(lambda: task(1) in around.heard)
    broker.lose(pika.exceptions.StreamLostError("reset"))
    broker.until(lambda: broker.connections[-1].closed)
    around.expect(2)
    broker.until(lambda: len(broker.connections) == 2)
    broker.send(QUEUE, message(2))
    broker.until(lambda: task(2) in around.heard)


def test_after_a_loss_open_tasks_are_asked_for_and_credentials_are_new(
    around: Around, broker: FakeBroker
) -> None:
    around.expect(1, 2)
    connected(around, broker)
    around.done = {task(1)}
    broker.lose(pika.exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"))
    broker.until(lambda: task(1) in around.heard)
    assert around.asked[0] == [task(1), task(2)]
    broker.send(QUEUE, message(2))
    broker.until(lambda: task(2) in around.heard)
    assert around.addresses == 2


def test_while_there_is_no_way_to_the_broker_tasks_are_asked_for(around: Around, broker: FakeBroker) -> None:
    broker.refuses = pika.exceptions.ProbableAuthenticationError("(403, 'ACCESS_REFUSED')")
    around.expect(1, 2)
    broker.until(lambda: len(broker.urls) >= 3)
    assert around.watcher.reconnect.state == "connecting"
    around.done = {task(1)}
    broker.until(lambda: task(1) in around.heard)
    broker.refuses = None
    broker.until(lambda: broker.connections)
    broker.send(QUEUE, message(2))
    broker.until(lambda: task(2) in around.heard)
    assert around.addresses == len(broker.urls)  # each try with credentials of its own
    assert around.given_up == []


def test_pauses_between_tries_are_used_for_asking(around: Around, broker: FakeBroker) -> None:
    around.watcher.reconnect.backoff = Backoff(1000.0, 1000.0)
    broker.refuses = OSError("no route")
    around.expect(1)
    broker.until(lambda: len(around.asked) >= 3)
    assert len(broker.urls) == 1
    around.done = {task(1)}
    broker.until(lambda: around.heard == [task(1)])


def test_a_service_without_a_broker_is_asked(around: Around, broker: FakeBroker) -> None:
    around.no_queue = NotFound("no such route")
    around.done = {task(1)}
    around.expect(1)
    broker.until(lambda: around.heard == [task(1)])


def test_what_cannot_be_read_is_rejected_and_its_task_asked_for(around: Around, broker: FakeBroker) -> None:
    around.expect(1, 2)
    connected(around, broker)
    around.done = {task(1), task(2)}
    broker.send(QUEUE, message(1).replace(b'"data": "00', b'"data": 5, "x": "00'))
    broker.until(lambda: around.heard == [task(1)])
    assert around.asked == [[task(1)]]
    assert broker.rejected == [(QUEUE, 1)]


def test_of_what_says_nothing_all_open_tasks_are_asked(around: Around, broker: FakeBroker) -> None:
    around.expect(1, 2)
    connected(around, broker)
    around.done = {task(2)}
    broker.send(QUEUE, b"rubbish")
    broker.until(lambda: around.heard == [task(2)])
    around.done.add(task(1))
    broker.until(lambda: task(1) in around.heard)  # asked until it has ended
    assert len(broker.rejected) == 1


def test_high_assurance_is_fetched(around: Around, broker: FakeBroker) -> None:
    around.expect(1)
    connected(around, broker)
    around.done = {task(1)}
    broker.send(QUEUE, message(1), headers={"high_assurance": True})
    broker.until(lambda: around.heard == [task(1)])
    assert around.asked == [[task(1)]]


def test_without_a_queue_for_its_group_a_task_is_asked_for_until_there_is_one(
    around: Around, broker: FakeBroker
) -> None:
    del broker.queues[QUEUE]
    around.expect(1, 2)
    broker.until(lambda: around.asked)
    around.done = {task(1)}
    broker.until(lambda: task(1) in around.heard)
    broker.queues[QUEUE] = deque()
    broker.send(QUEUE, message(2))
    broker.until(lambda: task(2) in around.heard)


def test_a_connection_lost_while_looking_for_a_queue(around: Around, broker: FakeBroker) -> None:
    del broker.queues[QUEUE]
    around.expect(1)
    broker.until(lambda: around.asked)
    broker.lose(pika.exceptions.StreamLostError("reset"))
    broker.until(lambda: len(broker.connections) == 2)
    around.done = {task(1)}
    broker.until(lambda: around.heard == [task(1)])


def test_tasks_of_other_groups_are_asked_for(around: Around, broker: FakeBroker) -> None:
    around.watcher.add_group("h")
    around.done = {task(1)}
    around.expect(1, group="h")
    around.watcher.fetch([task(1)])
    broker.until(lambda: around.heard == [task(1)])


def test_a_service_that_wants_nothing_of_us_ends_the_futures(around: Around, broker: FakeBroker) -> None:
    around.no_queue = around.silent = NotAuthorized("who are you?")
    around.expect(1)
    broker.until(lambda: around.given_up)
    assert around.given_up[0] is around.silent


def test_a_service_that_is_gone_for_too_long_is_given_up(around: Around, broker: FakeBroker) -> None:
    around.watcher.reconnect.grace = 0.02
    around.no_queue = around.silent = ServiceUnavailable("away")
    around.expect(1)
    broker.until(lambda: around.given_up)
    assert "reload_tasks" in str(around.given_up[0])


def test_trouble_with_asking_does_not_end_what_the_queue_brings(around: Around, broker: FakeBroker) -> None:
    around.expect(1, 2)
    connected(around, broker)
    around.silent = NotAuthorized("not for you")
    broker.send(QUEUE, b"rubbish")
    broker.until(lambda: around.asked)
    broker.send(QUEUE, message(1), message(2))
    broker.until(lambda: len(around.heard) == 2)
    assert around.given_up == []


def test_an_error_of_ours_is_told_to_every_future(around: Around, broker: FakeBroker) -> None:
    def bug(_: Outcome) -> None:
        raise RuntimeError("a bug")

    around.at_end = bug
    around.expect(1)
    broker.send(QUEUE, message(1))
    broker.until(lambda: around.given_up)
    assert "internal error" in str(around.given_up[0])
    around.at_end = lambda _: None


def test_the_end_is_at_once_and_for_good(around: Around, broker: FakeBroker) -> None:
    around.expect(1)
    connected(around, broker)
    assert not around.watcher.is_here()
    around.watcher.end(5)
    assert broker.connections[-1].closed
    around.expect(2)
    assert around.watcher._thread is None


def test_a_service_of_the_guides_time_streams(
    around: Around, broker: FakeBroker, server: Callable[..., str]
) -> None:
    said: list[Any] = []

    def serve_guide(connection: ServerConnection) -> None:
        assert connection.request is not None
        said.append((connection.request.path, connection.request.headers["Authorization"], connection.recv()))
        done, end = ({"status": "success", "result": "00\ngAROLg==\n"}, {"completion_t": "1"})
        for frame in ({"exception": "upstream"}, {"task_id": task(1), **done, **end}):
            connection.send(json.dumps(frame))
        connection.send(json.dumps({"task_id": task(1), **done}))  # once more
        around.done = {task(2)}
        if len(said) == 1:
            return  # and is gone
        connection.recv()

    around.no_queue = NotFound("no such route")
    around.url = server(serve_guide)
    around.expect(1, 2)
    broker.until(lambda: len(around.heard) == 2)
    around.watcher.end(5)
    assert sorted(around.heard) == [task(1), task(2)]
    assert said[0] == ("/ws/v2/", "Bearer token", "g")
