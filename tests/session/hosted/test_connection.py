"""An Executor towards a service that is none of ours, without a broker: results come by asking."""

from __future__ import annotations

import functools
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from compute_executor import Client, Executor
from compute_executor.batch import Call, Function, Target
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ResultDecodeError,
    SerializationError,
    ServiceUnavailable,
    SubmitOutcomeUnknown,
    TaskExecutionFailed,
)
from compute_executor.protocol import frames
from compute_executor.sdk.http.pacing import Pacer
from compute_executor.sdk.limits import HOSTED
from compute_executor.sdk.outcome import Outcome
from compute_executor.sdk.wires.text_wire import TextWire
from compute_executor.serialization import native
from compute_executor.serialization.large import Part
from compute_executor.serialization.python_versions import VersionsDiffer
from compute_executor.serialization.refs import Ref
from compute_executor.session.hosted.connection import HostedConnection, OpenTasks, settle
from tests.hosted_service import HostedService, Scripted
from tests.session.owner import StubOwner, future

ENDPOINT = "5a3c0e38-7a31-4f2c-9f0d-1f2d3c4b5a69"
TARGET = Target(b"e" * 16, None, frames.Options())


class Trouble(Exception):
    def __init__(self, what: str, *, code: int) -> None:
        super().__init__(what)
        self.code = code


def helper(x: int) -> int:
    return x + 1


def add_one(x: int) -> int:
    return helper(x)


def fails(x: int) -> int:
    raise Trouble(f"no {x}", code=x)


@pytest.fixture
def service() -> Iterator[HostedService]:
    service = HostedService()
    yield service
    service.close()


@pytest.fixture
def client(service: HostedService) -> Iterator[Client]:
    with Client(base_url=service.url, token="t") as client:
        yield client


@pytest.fixture
def ex(client: Client) -> Iterator[Executor]:
    with Executor(ENDPOINT, client=client) as executor:
        yield executor


def test_calls_run_there(ex: Executor) -> None:
    assert ex.submit(add_one, 41).result(10) == 42
    assert list(ex.map(add_one, range(5))) == [1, 2, 3, 4, 5]


def test_what_is_no_plain_function_runs_too(ex: Executor) -> None:
    assert ex.submit(functools.partial(max, 3), 2).result(10) == 3
    assert ex.submit([1, 1].count, 1).result(10) == 2
    numbers = [ex.submit(lambda x, n=n: x + n, 1) for n in range(3)]  # type: ignore[misc]
    assert [one.result(10) for one in numbers] == [1, 2, 3]


def test_many_calls_in_one_task(ex: Executor) -> None:
    assert list(ex.map(add_one, range(10), chunksize=4)) == list(range(1, 11))


def test_an_error_in_a_chunk_comes_after_its_values(ex: Executor) -> None:
    def picky(x: int) -> int:
        if x == 2:
            raise Trouble("two", code=2)
        return x

    values = ex.map(picky, range(4), chunksize=4)
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(Trouble, match="two") as caught:
        next(values)
    assert caught.value.code == 2


def test_exceptions_come_back_as_themselves(ex: Executor) -> None:
    with pytest.raises(Trouble, match="no 7") as caught:
        ex.submit(fails, 7).result(10)
    assert caught.value.code == 7
    assert "in fails" in str(caught.value.__cause__)


def test_values_that_calls_share_are_refused_with_figures(ex: Executor) -> None:
    with pytest.raises(
        InvalidRequest, match=r"This one of 20,000,\d+ bytes .* 10,000,000 bytes are the most"
    ):
        ex.put(bytes(20_000_000))
    elsewhere: Any = Ref(Part("a" * 32, 64_000_000))
    with pytest.raises(
        SerializationError, match=r"a ref of 64,000,000 bytes .* takes 10,000,000 bytes at most"
    ):
        ex.submit(len, elsewhere).result(10)
    with pytest.raises(PayloadTooLarge, match=r"20,\d\d\d,\d\d\d bytes, the service takes 9,995,904"):
        ex.submit(len, bytes(15_000_000)).result(10)


def test_the_task_id_is_the_services(ex: Executor, service: HostedService) -> None:
    future = ex.submit(add_one, 1)
    future.result(10)
    assert future.task_id in service.tasks


def test_a_function_is_registered_once(ex: Executor, service: HostedService) -> None:
    for _ in range(3):
        ex.submit(add_one, 1).result(10)
    assert service.count("/v3/functions") == 1


def test_options_of_the_endpoint_travel(client: Client, service: HostedService) -> None:
    with Executor(
        ENDPOINT, client=client, user_endpoint_config={"a": 1}, resource_specification={"num_nodes": 2}
    ) as ex:
        ex.submit(add_one, 1).result(10)
    submit = next(one for _, path, one in service.requests if path.endswith("/submit"))
    assert submit["user_endpoint_config"] == {"a": 1}
    assert submit["resource_specification"] == {"num_nodes": 2}
    assert submit["create_queue"] is True
    assert submit["task_group_id"] == str(ex.task_group_id)


def test_workers_cannot_be_made_there(client: Client) -> None:
    with pytest.raises(TypeError, match="set up there"):
        Executor(ENDPOINT, client=client, max_workers=2)
    with pytest.raises(TypeError, match="set up there"):
        Executor(ENDPOINT, client=client, initializer=print)


def test_what_only_our_services_keep_is_refused(ex: Executor) -> None:
    with pytest.raises(InvalidRequest, match="retries"):
        ex.options(retries=1).submit(add_one, 1).result(10)


def test_a_bad_argument_fails_alone(ex: Executor) -> None:
    bad = ex.submit(add_one, (one for one in ()))  # type: ignore[arg-type, var-annotated]
    good = ex.submit(add_one, 1)
    with pytest.raises(SerializationError, match="argument 0"):
        bad.result(10)
    assert good.result(10) == 2


def test_a_task_that_the_service_does_not_like_fails_alone(ex: Executor, service: HostedService) -> None:
    service.answers.append(Scripted("/submit", 503, headers={"Retry-After": "1"}))  # so that a batch gathers
    service.refuses = lambda payload: "poison" in _decoded(payload)
    futures = [ex.submit(str, one) for one in ["a", *map(str, range(20)), "poison", "z"]]
    outcomes = [one.exception(20) for one in futures]
    assert isinstance(outcomes[-2], InvalidRequest)
    assert [one for one in outcomes if one is not None] == [outcomes[-2]]


def test_too_much_for_the_service_fails_alone(ex: Executor) -> None:
    large = ex.submit(len, b"x" * 12_000_000)
    small = ex.submit(len, b"x")
    with pytest.raises(PayloadTooLarge):
        large.result(10)
    assert small.result(10) == 1


def test_a_submit_of_unknown_outcome_is_not_repeated(ex: Executor, service: HostedService) -> None:
    service.answers.append(Scripted("/submit", 0, done=True))
    future = ex.submit(add_one, 1)
    with pytest.raises(SubmitOutcomeUnknown):
        future.result(10)
    assert service.count("/submit") == 1
    assert ex.submit(add_one, 1).result(10) == 2


def test_a_submit_of_unknown_outcome_is_repeated_where_wished(client: Client, service: HostedService) -> None:
    service.answers.append(Scripted("/submit", 0, done=True))
    with Executor(ENDPOINT, client=client, resend_unknown=True) as ex:
        assert ex.submit(add_one, 1).result(10) == 2
    assert service.count("/submit") == 2


def test_a_service_that_is_busy_is_asked_again(ex: Executor, service: HostedService) -> None:
    service.answers += [
        Scripted("/functions", 502),
        Scripted("/submit", 429),
        Scripted("/submit", 429),
        Scripted("/batch_status", 500),
    ]
    assert ex.submit(add_one, 1).result(20) == 2
    assert service.count("/submit") == 3


def test_what_has_not_left_can_be_cancelled(ex: Executor, service: HostedService) -> None:
    service.prompt = False
    service.answers.append(Scripted("/submit", 429, headers={"Retry-After": "1"}))
    first = ex.submit(add_one, 1)
    _until(lambda: service.count("/submit") == 1)
    second = ex.submit(add_one, 2)
    assert second.cancel()
    _until(lambda: bool(service.waiting))
    assert not first.cancel()
    service.run()
    assert first.result(10) == 2
    assert second.cancelled()


def test_tasks_of_a_dead_program_are_found_again(
    ex: Executor, client: Client, service: HostedService
) -> None:
    service.prompt = False
    futures = [ex.submit(add_one, number) for number in range(3)]
    _until(lambda: len(service.waiting) == 3)
    with Executor(ENDPOINT, client=client) as other:
        found = other.reload_tasks(ex.task_group_id)
        service.run()
        assert sorted(one.result(10) for one in found) == [1, 2, 3]
        assert {one.task_id for one in found} == {one.task_id for one in futures}
        with pytest.raises(NotFound):
            other.reload_tasks("11111111-1111-4111-8111-111111111111")


def test_they_are_found_without_an_endpoint(ex: Executor, client: Client) -> None:
    assert ex.submit(add_one, 1).result(10) == 2
    assert not client.is_own_service()
    with Executor(client=client) as other:
        assert [one.result(10) for one in other.reload_tasks(ex.task_group_id)] == [2]
        with pytest.raises(InvalidRequest, match="endpoint_id is missing"):
            other.submit(add_one, 1).result(10)
        other.endpoint_id = ENDPOINT
        assert other.submit(add_one, 1).result(10) == 2


def test_calls_of_another_group(ex: Executor, service: HostedService) -> None:
    """Its results come, too, while those of the first group are awaited and afterwards."""
    groups = [ex.task_group_id, uuid.UUID(int=1), uuid.UUID(int=2)]
    service.prompt = False
    futures = []
    for group in groups:
        ex.task_group_id = group
        futures.append(ex.submit(add_one, 1))
    _until(lambda: len(service.waiting) == 3)
    service.run()
    assert [one.result(10) for one in futures] == [2, 2, 2]
    submits = [one for _, path, one in service.requests if path.endswith("/submit")]
    assert [one["task_group_id"] for one in submits] == [str(one) for one in groups]


def test_the_pace_can_change_between_submits(ex: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, float]] = []

    class Noted(Pacer):
        def __init__(self, limit: int, window: float) -> None:
            made.append((limit, window))
            super().__init__(limit, window)

    monkeypatch.setattr("compute_executor.session.hosted.connection.Pacer", Noted)
    ex.submit(add_one, 1).result(10)
    ex.api_burst_limit = 7
    ex.submit(add_one, 1).result(10)
    ex.submit(add_one, 1).result(10)
    assert made == [(7, HOSTED.window)]


def test_other_versions_are_told_once(ex: Executor, service: HostedService) -> None:
    service.details = {"python_version": "3.4.1", "dill_version": "0.1"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            ex.submit(add_one, 1).result(10)
    assert [one.category for one in caught] == [VersionsDiffer]
    assert "Python 3.4.1 there" in str(caught[0].message)


def test_source_travels_where_it_is_asked_for(client: Client, service: HostedService) -> None:
    def plain(x: int) -> int:
        if x < 0:
            raise ValueError(x)
        return x * 2

    with Executor(ENDPOINT, client=client, by_source=True) as ex:
        assert ex.submit(plain, 4).result(10) == 8
        assert list(ex.map(plain, range(4), chunksize=2)) == [0, 2, 4, 6]
        with pytest.raises(ValueError, match="-1"):
            ex.submit(plain, -1).result(10)
        with pytest.raises(SerializationError, match="source"):
            ex.submit(lambda: 1).result(10)
    assert all("st\n" in code for code in service.functions.values())


def test_an_unreadable_result_says_which_versions_met(ex: Executor, service: HostedService) -> None:
    service.prompt = False
    future = ex.submit(add_one, 1)
    _until(lambda: bool(service.waiting))
    task_id = service.waiting[0][0]
    details = {"python_version": "3.99.0", "dill_version": "9"}
    service.tasks[task_id] = {
        "task_id": task_id,
        "status": "success",
        "result": "00\ngASVBQAA\n",
        "details": details,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ResultDecodeError, match=r"Python 3\.99\.0 with dill 9, here are Python"):
            future.result(10)


def test_a_failure_without_its_exception_is_told(ex: Executor, service: HostedService) -> None:
    service.prompt = False
    future = ex.submit(add_one, 1)
    _until(lambda: bool(service.waiting))
    task_id = service.waiting[0][0]
    service.tasks[task_id] = {"task_id": task_id, "status": "failed", "exception": "the block was lost"}
    with pytest.raises(TaskExecutionFailed, match="the block was lost"):
        future.result(10)


def test_an_unknown_function_fails_alone(ex: Executor) -> None:
    lost = ex.submit_to_registered_function("22222222-2222-4222-8222-222222222222", (1,))
    good = ex.submit(add_one, 1)
    with pytest.raises(NotFound):
        lost.result(10)
    assert good.result(10) == 2


def test_a_registered_function_runs(ex: Executor) -> None:
    assert ex.submit_to_registered_function(ex.register_function(add_one), (1,)).result(10) == 2


def test_no_thread_is_left(client: Client) -> None:
    before = set(threading.enumerate())
    with Executor(ENDPOINT, client=client) as ex:
        ex.submit(add_one, 1).result(10)
    assert not [
        one.name for one in set(threading.enumerate()) - before if one.name.startswith("compute-executor")
    ]


def test_without_an_endpoint_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(base_url="https://compute.api.globus.org", token="t")
    with Executor(client=client) as ex, pytest.raises(InvalidRequest, match="endpoint_id is missing"):
        ex.submit(add_one, 1).result(10)


def test_an_executor_used_without_an_endpoint_cannot_be_sent_to_a_hosted_one(client: Client) -> None:
    with Executor(client=client) as ex:
        ex.submit(add_one, 1).cancel()
        with pytest.raises(InvalidRequest, match="endpoint_id is missing"):
            ex.options(endpoint_id=ENDPOINT).submit(add_one, 1).result(10)


def test_shutdown_in_a_callback_waits_for_nothing(client: Client) -> None:
    ex = Executor(ENDPOINT, client=client)
    done = threading.Event()

    def leave(_: Any) -> None:
        ex.shutdown()
        done.set()

    ex.submit(add_one, 1).add_done_callback(leave)
    assert done.wait(10)
    ex.shutdown()


@pytest.mark.slow
def test_a_service_of_the_guides_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names no result queues, and its results come by its stream: nothing is asked for."""
    asked: list[Any] = []

    def no_queues() -> Any:
        raise NotFound("no such route")

    monkeypatch.setattr(TextWire, "outcomes", lambda _, task_ids: asked.append(task_ids) or {})
    with Client() as client:  # our own serves that stream, too
        endpoint = client.get_endpoints()[0]["uuid"]
        monkeypatch.setattr(client, "_own", False)
        monkeypatch.setattr(client, "result_queues", no_queues)
        with Executor(endpoint, client=client) as ex:
            assert ex.submit(add_one, 41).result(30) == 42
            assert "stream: connected" in repr(ex)
            assert list(ex.map(add_one, range(30))) == list(range(1, 31))
            with pytest.raises(Trouble, match="no 7"):
                ex.submit(fails, 7).result(30)
            assert ex.submit(len, b"x" * 200_000).result(30) == 200_000
    assert asked == []


def test_an_error_of_our_own_ends_the_futures(
    ex: Executor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(HostedConnection, "_submit", fail)
    monkeypatch.setattr(HostedConnection, "_finished", fail)
    with pytest.raises(ComputeError, match="please report it: ZeroDivisionError"):
        ex.submit(add_one, 1).result(10)
    assert "the I/O thread of an Executor failed" in caplog.text


def test_shutting_down_drops_what_waits_and_waits_for_the_rest(
    client: Client, service: HostedService
) -> None:
    """A task that the service has cannot be withdrawn."""
    service.prompt = False
    ex = Executor(ENDPOINT, client=client)
    sent = ex.submit(add_one, 1)
    _until(lambda: bool(service.waiting))
    service.answers.append(Scripted("/submit", 429, headers={"Retry-After": "1"}))
    blocked = ex.submit(add_one, 2)
    _until(lambda: service.count("/submit") == 2)
    waiting = ex.submit(add_one, 3)
    ex.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    assert not sent.done()
    _until(lambda: len(service.waiting) == 2)
    service.run()
    ex.shutdown()
    assert [sent.result(0), blocked.result(0)] == [2, 3]


def test_who_leaves_in_a_hurry_waits_for_nothing(client: Client, service: HostedService) -> None:
    service.prompt = False
    ex = Executor(ENDPOINT, client=client)
    future = ex.submit(add_one, 1)
    _until(lambda: bool(service.waiting))
    ex.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not future.done()
    service.run()
    assert future.result(10) == 2


# -- open tasks ------------------------------------------------------------------------------------------------


class Quiet:
    """Stand-in for `HostedResults`: keeps what it was asked."""

    def __init__(self) -> None:
        self.needed = 0
        self.asked: list[list[str]] = []
        self.groups: list[str] = []

    def need(self) -> None:
        self.needed += 1

    def fetch(self, task_ids: Any) -> None:
        self.asked.append(list(task_ids))

    def add_group(self, group: str) -> None:
        self.groups.append(group)


@pytest.fixture
def tasks(client: Client) -> OpenTasks:
    tasks = OpenTasks(StubOwner(), client)
    tasks.results = Quiet()  # type: ignore[assignment]
    return tasks


def task(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def ended(number: int) -> Outcome:
    return Outcome(task(number), "success", frames.VALUE, native.dumps(number))


def calls(count: int) -> list[Call[Any]]:
    function = Function(b"d" * 32, "f", b"")
    return [Call(future(), function, b"", TARGET) for _ in range(count)]


def test_results_that_come_before_the_answer_find_their_futures(tasks: OpenTasks) -> None:
    tasks.ended(ended(1))
    tasks.ended(ended(9))  # somebody else's
    one, two = sent = calls(2)
    tasks.taken(TARGET, sent, [task(1), task(2)])
    assert one.future.result(0) == 1
    assert one.future.task_id == task(1)
    assert not two.future.done()
    assert tasks.pending.futures() == [two.future]
    tasks.ended(ended(2))
    assert two.future.result(0) == 2
    assert tasks.results.asked == []  # type: ignore[attr-defined]


def test_results_for_which_there_was_no_room_are_asked_for(
    tasks: OpenTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.pending, "_max_early", 1)
    tasks.ended(ended(1))
    tasks.ended(ended(2))
    tasks.taken(TARGET, calls(2), [task(1), task(2)])
    assert tasks.results.asked == [[task(1), task(2)]]  # type: ignore[attr-defined]


def test_tasks_are_adopted_once(tasks: OpenTasks) -> None:
    tasks.ended(ended(1))
    futures = {task(number): future() for number in (1, 2)}
    assert tasks.adopt_ids("other", TARGET, futures) == list(futures.values())
    assert futures[task(1)].result(0) == 1
    again = {task(2): future()}
    assert tasks.adopt_ids("other", TARGET, again) == []
    quiet: Any = tasks.results
    assert (quiet.groups, quiet.asked) == (["other", "other"], [[task(1), task(2)], []])
    tasks.ended(ended(2))
    assert futures[task(2)].result(0) == 2


def test_giving_up_ends_each_future_with_an_error_about_itself(tasks: OpenTasks) -> None:
    sent = calls(2)
    tasks.taken(TARGET, sent, [task(1), task(2)])
    tasks.give_up(ServiceUnavailable("gone for too long"))
    errors = [call.future.exception(0) for call in sent]
    assert [(type(one), str(one), one.task_id) for one in errors] == [  # type: ignore[union-attr]
        (ServiceUnavailable, "gone for too long", task(number)) for number in (1, 2)
    ]
    assert tasks.pending.open == 0


def test_nothing_is_withdrawn(client: Client) -> None:
    connection = HostedConnection(StubOwner(), client)
    connection.withdraw(None, wait=True)
    assert connection.forked() == []


def test_in_the_child_of_a_fork_the_futures_are_orphans(client: Client) -> None:
    waker, other = socket.socketpair()
    with waker, other:
        connection = HostedConnection(StubOwner(), client)
        connection.start(waker)
        connection.tasks.results = Quiet()  # type: ignore[assignment]
        sent = calls(2)
        connection.tasks.taken(TARGET, sent, [task(1), task(2)])
        connection.tasks.ended(ended(1))
        assert not connection.send_now()
        assert connection.open_futures() == [sent[1].future]
        assert connection.forked() == [sent[1].future]


def test_a_time_that_is_none_is_no_time() -> None:
    one = future()
    settle(one, ended(3)._replace(completion_t="yesterday"))
    assert (one.result(0), one.timings.ended) == (3, 0.0)


def _decoded(payload: str) -> str:
    from compute_executor.serialization import strategies

    args, _ = strategies.loads_call(payload)
    return str(args)


def _until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
