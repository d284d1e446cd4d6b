"""Sessions against the fake service: every fault that can be ordered, and what the futures say to it."""

from __future__ import annotations

import gc
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, wait
from pathlib import Path
from typing import Any, cast

import pytest

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    PayloadTooLarge,
    PoolBroken,
    ResultGone,
    SerializationError,
    ServiceUnavailable,
    TaskTimeout,
    VersionMismatch,
    WorkerLost,
)
from compute_executor.executor import Executor
from compute_executor.protocol import frames
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.ids import new_prefix
from compute_executor.serialization import native
from compute_executor.session.stream import loop
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.sender import Sender
from compute_executor.session.stream.websocket import StreamLost
from tests.conftest import MakeExecutor
from tests.fake_service import FakeService
from tests.session.driver import SessionDriver

PATIENCE = 10.0
Drive = Callable[..., SessionDriver]


@pytest.fixture
def drive(fake: FakeService) -> Iterator[Drive]:
    """Makes sessions with the fake service; shut down after the test."""
    drivers: list[SessionDriver] = []

    def make(**settings: Any) -> SessionDriver:
        drivers.append(SessionDriver(fake, **settings))
        return drivers[-1]

    yield make
    fake.speak()
    fake.release()
    for driver in drivers:
        driver.session.shutdown(wait=True, cancel_futures=False)


def until_its_threads_have_ended() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("compute-executor") and not thread.name.endswith(
            "chunk watcher"
        ):  # of a worker
            thread.join(PATIENCE)
            assert not thread.is_alive()


def values(futures: list[Any]) -> list[Any]:
    return [future.result(PATIENCE) for future in futures]


# -- without faults -----------------------------------------------------------------------------------------


def test_values_come_back(executor: Executor) -> None:
    assert values([executor.submit(pow, n, 2) for n in range(300)]) == [n * n for n in range(300)]


def test_a_lone_call_leaves_at_once(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    assert executor.submit(abs, -2).result(PATIENCE) == 2


def test_a_lone_call_is_sent_by_the_thread_that_submits_it(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert executor.submit(abs, -1).result(PATIENCE) == 1  # there is a stream now
    senders = []
    send = StreamProtocol.send
    monkeypatch.setattr(
        StreamProtocol,
        "send",
        lambda self, batch: (senders.append(threading.current_thread()), send(self, batch)),
    )

    def lone() -> bool:
        """Whether the I/O thread slept, as it does nearly always."""
        assert executor.submit(abs, -2).result(PATIENCE) == 2
        return senders.pop() is threading.current_thread()

    assert any(lone() for _ in range(50))


@pytest.mark.parametrize("where", ["messages", "frames"])
def test_an_interrupt_in_the_middle_of_sending_loses_nothing(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    step = getattr(Sender, where)

    def interrupted(self: Sender, batch: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return step(self, batch)
        list(step(self, batch))
        raise KeyboardInterrupt

    monkeypatch.setattr(Sender, where, interrupted)
    interrupts = 0
    while not interrupts:  # until one of the calls is sent by this thread
        try:
            assert executor.submit(abs, -2).result(PATIENCE) == 2
        except KeyboardInterrupt:
            interrupts += 1

    assert values([executor.submit(abs, n) for n in range(20)]) == list(range(20))
    executor.shutdown()  # waits for the interrupted call as well


def test_while_the_service_owes_an_answer_calls_gather(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(batch_size=10, flush_interval=3600)
    fake.silent.set()
    executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    futures = [executor.submit(abs, n) for n in range(15)]
    fake.wait_for(lambda: len(fake.heard) == 2)
    assert fake.heard[1].count == 10

    fake.speak()
    assert values(futures) == list(range(15))
    assert [batch.count for batch in fake.submits] == [1, 10, 5]


def test_functions_travel_once(executor: Executor, fake: FakeService) -> None:
    values([executor.submit(abs, n) for n in range(10)])
    values([executor.submit(abs, n) for n in range(10)])

    assert len(fake.registers) == 1


def test_its_pool_is_opened_and_closed(make: MakeExecutor, fake: FakeService) -> None:
    with make(max_workers=3, label="mine") as executor:
        executor.submit(abs, 1).result(PATIENCE)
        ((pool, spec),) = fake.pools.items()
        assert (spec.max_workers, spec.label, spec.cwd) == (3, "mine", os.getcwd())
        assert pool not in fake.closed_pools
    fake.wait_for(lambda: pool in fake.closed_pools)


def test_results_are_acknowledged(make: MakeExecutor, fake: FakeService) -> None:
    with make() as executor:
        values([executor.submit(abs, n) for n in range(3)])
    fake.wait_for(lambda: bool(fake.acks) and fake.acks[-1].seq == 6)


def test_acknowledgements_come_without_further_traffic(executor: Executor, fake: FakeService) -> None:
    executor.submit(abs, 1).result(PATIENCE)

    fake.wait_for(lambda: bool(fake.acks))


def test_a_task_that_has_begun_is_running(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    begun = threading.Event()
    batch = fake.submits[0]
    probe = executor.submit(abs, 2)
    fake.wait_for(lambda: len(fake.submits) == 2)
    probe.add_done_callback(lambda _: begun.set())

    fake.say(frames.Began([(batch.prefix, 0, 7.5), (b"?" * 12, 0, 1.0)]))
    fake.release(last=1)
    assert begun.wait(PATIENCE)

    assert future.running()
    assert not future.cancel()
    assert future.timings.began == 7.5


def test_repr_tells_the_state(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(label="probe")
    assert repr(executor) == "<Executor probe open, 0 buffered, 0 in flight, stream: not connected>"
    fake.hold = True
    executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    assert repr(executor) == "<Executor probe open, 0 buffered, 1 in flight, stream: connected>"
    fake.release()
    executor.shutdown()
    assert repr(executor) == "<Executor probe shut down, 0 buffered, 0 in flight, stream: not connected>"


# -- results that misbehave ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["repeat", "reverse", "strangers", "results_first"])
def test_whatever_way_results_come(executor: Executor, fake: FakeService, fault: str) -> None:
    setattr(fake.faults, fault, 3)

    assert values([executor.submit(pow, n, 2) for n in range(50)]) == [n * n for n in range(50)]
    assert max(fake.runs.values()) == 1


def test_a_frame_that_makes_no_sense_is_passed_over(
    executor: Executor, fake: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    executor.submit(abs, 1).result(PATIENCE)
    fake.say(b"\xc1 nonsense")

    assert executor.submit(abs, 2).result(PATIENCE) == 2
    assert "cannot be decoded" in caplog.text


def test_a_value_that_cannot_be_read_fails_its_own_future(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    bad = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.say(frames.Results(b"g" * 16, [frames.Result(1, fake.submits[0].prefix, 0, frames.VALUE, b"?")]))
    with pytest.raises(ComputeError, match=r"cannot (be )?read"):
        bad.result(PATIENCE)
    fake.hold = False

    assert executor.submit(abs, 2).result(PATIENCE) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(frames.LOST, WorkerLost), (frames.TIMEOUT, TaskTimeout), (frames.BROKEN, PoolBroken)],
)
def test_tasks_that_came_to_nothing(
    executor: Executor, fake: FakeService, status: int, kind: type[Exception]
) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.end_held(status, "so it is")

    with pytest.raises(kind, match="so it is"):
        future.result(PATIENCE)


def test_a_callback_that_raises_harms_nobody(
    executor: Executor, fake: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    def leave(_: Any) -> None:
        raise SystemExit

    fake.hold = True
    future = executor.submit(abs, 1)
    future.add_done_callback(leave)
    future.add_done_callback(lambda _: called.set())
    fake.wait_for(lambda: bool(fake.submits))
    fake.release()

    assert future.result(PATIENCE) == 1
    assert executor.submit(abs, 2).result(PATIENCE) == 2
    assert called.wait(PATIENCE)
    assert "exception calling callback" in caplog.text


# -- connections that break ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before_store", "drop_before_accept"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_batch_without_an_answer_is_sent_again_and_runs_once(
    executor: Executor, fake: FakeService, fault: str, times: int
) -> None:
    setattr(fake.faults, fault, times)

    assert values([executor.submit(pow, n, 2) for n in range(200)]) == [n * n for n in range(200)]
    assert 2 <= fake.connections <= times + 1
    assert sorted(fake.runs.values()) == [1] * 200


def test_results_that_were_missed_are_sent_again(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    futures = [executor.submit(abs, n) for n in range(5)]
    fake.wait_for(lambda: fake.held == 5)
    fake.run_unheard()
    fake.drop()

    assert values(futures) == list(range(5))


def test_a_service_that_comes_back_gets_everything(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    accepted = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.stop()
    later = [executor.submit(abs, n) for n in range(10)]
    fake.start()
    fake.wait_for(lambda: len(fake.runs) + fake.held == 11)
    fake.release()

    assert values([accepted, *later]) == [1, *range(10)]


def test_a_stream_that_is_lost_while_nothing_is_open_is_not_opened_again(
    executor: Executor, fake: FakeService
) -> None:
    executor.submit(abs, 1).result(PATIENCE)
    fake.say(frames.Goodbye("idle"))
    fake.drop()
    fake.wait_for(lambda: not fake.live)
    assert fake.connections == 1

    assert executor.submit(abs, 2).result(PATIENCE) == 2
    assert fake.connections == 2


def test_a_service_that_was_never_there(drive: Drive, fake: FakeService) -> None:
    fake.stop()
    future = drive(first_grace=0.2).submit(abs, 1)
    try:
        with pytest.raises(ServiceUnavailable, match="could not be reached for 0 s"):
            future.result(PATIENCE)
    finally:
        fake.start()


def test_a_service_that_is_gone_for_too_long(drive: Drive, fake: FakeService) -> None:
    driver = drive(grace=0.3)
    fake.hold = True
    accepted = driver.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.stop()
    buffered = driver.submit(abs, 2)
    try:
        for future in (accepted, buffered):
            with pytest.raises(ServiceUnavailable, match="reload_tasks"):
                future.result(PATIENCE)
        assert accepted.exception().task_id == accepted.task_id  # type: ignore[union-attr]
    finally:
        fake.start()
    fake.hold = False
    assert driver.submit(abs, 3).result(PATIENCE) == 3


def test_a_service_that_cannot_be_started(
    make: MakeExecutor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Any:
        raise ServiceUnavailable("the state folder is read-only")

    executor = make()
    monkeypatch.setattr(fake, "address", refuse)
    with pytest.raises(ServiceUnavailable, match="read-only"):
        executor.submit(abs, 1).result(PATIENCE)

    monkeypatch.undo()
    assert executor.submit(abs, 2).result(PATIENCE) == 2


@pytest.mark.parametrize("error", [NotAuthorized("who are you?"), VersionMismatch("too old")])
def test_a_service_that_lets_nobody_in(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, error: ComputeError
) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(loop, "connect", refuse)

    with pytest.raises(type(error)):
        executor.submit(abs, 1).result(PATIENCE)


def test_a_login_that_is_refused_is_renewed_once(
    executor: Executor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    reach = loop.connect  # type: ignore[attr-defined]

    def refuse(url: str, authorization: str) -> Any:
        asked.append(authorization)
        if authorization != "Bearer renewed":
            raise NotAuthorized("who are you?")
        return reach(url, authorization)

    monkeypatch.setattr(loop, "connect", refuse)
    fake.next_token = "renewed"
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    assert asked == ["Bearer test", "Bearer renewed"]


def test_an_error_of_our_own_ends_the_futures(
    executor: Executor, fake: FakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(loop, "greet", fail)

    with pytest.raises(ComputeError, match="please report it: ZeroDivisionError"):
        executor.submit(abs, 1).result(PATIENCE)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "word"),
    [
        ("no id", (), None, "function id"),
        (None, 5, None, "args must be a sequence"),
        (None, "25", None, "args must be a sequence"),
        (None, (2, 5), 7, "kwargs must be a mapping"),
        (None, (2, 5), {1: 2}, "kwargs must have the names of arguments as keys, not int: 1"),
    ],
)
def test_what_is_no_call_of_a_registered_function_is_named_at_once(
    executor: Executor, fake: FakeService, function: Any, args: Any, kwargs: Any, word: str
) -> None:
    some = "00000000-0000-4000-8000-000000000001"
    with pytest.raises(InvalidRequest, match=word):
        executor.submit_to_registered_function(function or some, args, kwargs)
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    assert len(fake.submits) == 1


# -- refusals -----------------------------------------------------------------------------------------------


def poisoned(message: frames.Submit, tasks: list[Any]) -> tuple[ComputeError, int | None] | None:
    """Refuses batches with the argument -1 in them, without saying which."""
    for _, body in tasks:
        if native.loads_call(body)[0] == (-1,):
            return InvalidRequest("one of them"), None
    return None


def test_a_culprit_fails_and_its_neighbours_run(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.faults.refuse = poisoned
    fake.silent.set()
    first = executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    futures = [executor.submit(abs, -1 if n == 70 else n) for n in range(128)]
    fake.wait_for(lambda: len(fake.heard) == 2)
    fake.speak()

    with pytest.raises(InvalidRequest, match="one of them") as caught:
        futures[70].result(PATIENCE)
    assert caught.value.task_id == futures[70].task_id
    del futures[70]
    assert values([first, *futures]) == [0, *(n for n in range(128) if n != 70)]


def test_no_room_now_but_later(drive: Drive, fake: FakeService) -> None:
    refusals = iter([ServiceUnavailable("disk full")] * 3)
    fake.faults.refuse = lambda *_: next(((error, None) for error in refusals), None)

    assert drive(no_room_pause=0.01).submit(abs, 1).result(PATIENCE) == 1


def test_no_room_for_too_long(drive: Drive, fake: FakeService) -> None:
    driver = drive(no_room_pause=0.01, grace=0.05)
    fake.faults.refuse = lambda *_: (ServiceUnavailable("disk full"), None)

    with pytest.raises(ServiceUnavailable, match="disk full"):
        driver.submit(abs, 1).result(PATIENCE)

    fake.faults.refuse = lambda *_: None
    assert driver.submit(abs, 1).result(PATIENCE) == 1


def test_a_function_that_is_refused(executor: Executor, fake: FakeService) -> None:
    fake.faults.refuse_function = PayloadTooLarge("the function is too large")
    futures = [executor.submit(abs, n) for n in range(3)]

    for future in futures:
        with pytest.raises(PayloadTooLarge, match="the function is too large"):
            future.result(PATIENCE)


def test_an_argument_that_cannot_be_sent_fails_alone(executor: Executor) -> None:
    futures = [executor.submit(abs, cast(Any, threading.Lock()) if n == 5 else n) for n in range(10)]

    with pytest.raises(SerializationError, match="argument 0"):
        futures[5].result(PATIENCE)
    assert futures[5].task_id is None
    del futures[5]
    assert sum(values(futures)) == 40


def test_a_function_that_cannot_be_sent_fails_alone(executor: Executor) -> None:
    lock = threading.Lock()
    bad = executor.submit(lambda: lock)

    with pytest.raises(SerializationError):
        bad.result(PATIENCE)
    with pytest.raises(SerializationError):
        list(executor.map(lambda _: lock, range(3)))
    assert executor.submit(abs, 1).result(PATIENCE) == 1


def test_a_pool_that_breaks(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    (pool,) = fake.pools
    fake.say(frames.PoolFailed(new_prefix() + b"pool", "another one"))
    fake.say(frames.PoolFailed(pool, "the initializer raised"))
    fake.end_held(frames.BROKEN, "the initializer raised")

    with pytest.raises(BrokenExecutor, match="the initializer raised"):
        future.result(PATIENCE)
    with pytest.raises(BrokenExecutor, match="the initializer raised"):
        executor.submit(abs, 2)
    assert "broken" in repr(executor)


def test_a_pool_breaks_with_the_first_outcome_that_says_so(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    refused = []

    def submit_again(_: Any) -> None:
        try:
            executor.submit(abs, 2)
        except BrokenExecutor as error:
            refused.append(str(error))

    future.add_done_callback(submit_again)
    fake.end_held(frames.BROKEN, "no such interpreter")

    with pytest.raises(BrokenExecutor, match="no such interpreter"):
        future.result(PATIENCE)
    executor.shutdown()
    assert refused == ["no such interpreter"]


def test_what_waits_when_the_pool_breaks(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.silent.set()
    sent = executor.submit(abs, 1)
    fake.wait_for(lambda: len(fake.heard) == 1)
    waiting = executor.submit(abs, 2)
    fake.faults.refuse = lambda *_: (PoolBroken("the initializer raised"), None)
    (pool,) = fake.pools
    fake.say(frames.PoolFailed(pool, "the initializer raised"))
    fake.speak()

    for future in (waiting, sent):
        with pytest.raises(BrokenExecutor, match="the initializer raised"):
            future.result(PATIENCE)


# -- large bodies -------------------------------------------------------------------------------------------


@pytest.fixture
def blob_fake(fake: FakeService, tmp_path: Path) -> Iterator[FakeService]:
    fake.blob_folder = str(tmp_path)
    fake.limits = {"max_blob": 1_000_000}
    return fake  # type: ignore[return-value]


def test_large_arguments_lie_beside_the_frames(
    executor: Executor, blob_fake: FakeService, tmp_path: Path
) -> None:
    first = executor.submit(len, b"x" * 100_000)
    assert first.result(PATIENCE) == 100_000
    assert executor.submit(len, b"x" * 200_000).result(PATIENCE) == 200_000

    assert len(list(tmp_path.iterdir())) == 2
    assert all(len(batch.tasks) < 200 for batch in blob_fake.submits)


def test_a_large_function_lies_beside_the_frames(
    executor: Executor, blob_fake: FakeService, tmp_path: Path
) -> None:
    data = os.urandom(100_000)

    assert executor.submit(lambda: len(data)).result(PATIENCE) == 100_000
    assert isinstance(blob_fake.registers[0].code, frames.Blob)


def test_too_large_an_argument_fails_alone(executor: Executor, blob_fake: FakeService) -> None:
    early = executor.submit(len, b"x" * 1_000_000)
    assert executor.submit(abs, 1).result(PATIENCE) == 1
    late = executor.submit(len, b"x" * 1_000_000)

    for future in (early, late):
        with pytest.raises(PayloadTooLarge, match=r"1000\d\d\d bytes .* limit of 1000000"):
            future.result(PATIENCE)


def test_a_large_result_is_fetched(executor: Executor, blob_fake: FakeService, tmp_path: Path) -> None:
    blob_fake.hold = True
    futures = [executor.submit(abs, n) for n in range(2)]
    blob_fake.wait_for(lambda: sum(batch.count for batch in blob_fake.submits) == 2)
    (tmp_path / ("a" * 32)).write_bytes(native.dumps("large"))
    places = [future.place for future in futures]
    for place, name in zip(places, "ab", strict=True):
        assert place is not None
        result = frames.Result(1, *place, frames.VALUE, frames.Blob(name * 32, 9))
        blob_fake.say(frames.Results(b"g" * 16, [result]))

    assert futures[0].result(PATIENCE) == "large"
    with pytest.raises(ResultGone, match="was taken by its client before"):
        futures[1].result(PATIENCE)


# -- cancelling ---------------------------------------------------------------------------------------------


def test_what_has_not_left_is_cancelled_here(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.silent.set()
    executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    future, other = executor.submit(abs, 1), executor.submit(abs, 2)

    assert future.cancel()
    assert wait([future], PATIENCE).done == {future}
    fake.speak()
    assert other.result(PATIENCE) == 2
    assert fake.cancels == []


def test_what_has_left_is_asked_back(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    futures = [executor.submit(abs, n) for n in range(3)]
    fake.wait_for(lambda: fake.held == 3)

    assert futures[1].cancel()
    assert futures[1].cancelled()
    with pytest.raises(CancelledError):
        futures[1].result(0)
    fake.release()
    assert values([futures[0], futures[2]]) == [0, 2]


def test_what_has_run_cannot_be_cancelled(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.run_unheard()

    assert not future.cancel()
    fake.drop()
    assert future.result(PATIENCE) == 1


def test_cancelling_while_the_connection_is_lost(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    fake.faults.drop_at_cancel = 1

    assert future.cancel()
    assert fake.connections == 2


def test_shutdown_cancels_in_one_frame(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(max_workers=1)
    fake.hold = True
    futures = [executor.submit(abs, n) for n in range(50)]
    fake.wait_for(lambda: fake.held == 50)

    executor.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in futures] == [False] + [True] * 49
    assert len(fake.cancels) == 1
    fake.release()
    assert futures[0].result(PATIENCE) == 0


def test_shutdown_cancels_what_has_not_left(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(max_workers=1, flush_interval=3600)
    fake.silent.set()
    sent = executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    waiting = executor.submit(abs, 1)

    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    fake.speak()
    assert sent.result(PATIENCE) == 0


def test_shutdown_sends_what_waits(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.silent.set()
    executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    waiting = executor.submit(abs, 1)

    executor.shutdown(wait=False)
    fake.wait_for(lambda: len(fake.heard) == 2)
    fake.speak()
    assert waiting.result(PATIENCE) == 1


def test_map_that_is_closed_cancels_the_rest_in_one_frame(executor: Executor, fake: FakeService) -> None:
    iterator = executor.map(abs, [1])
    assert next(iterator) == 1
    fake.hold = True
    iterator = executor.map(abs, range(20))
    fake.wait_for(lambda: fake.held == 20)
    iterator.close()  # type: ignore[attr-defined]

    assert sum(len(positions) for _, positions in fake.cancels[0].tasks) == 20


# -- ids ----------------------------------------------------------------------------------------------------


def test_an_id_is_there_before_the_call_has_left(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.silent.set()
    executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    futures = [executor.submit(abs, n) for n in range(3)]
    ids = [future.task_id for future in futures]
    assert len(set(ids)) == 3
    fake.speak()

    assert values(futures) == [0, 1, 2]
    assert [future.task_id for future in futures] == ids
    assert fake.submits[1].prefix == futures[0].place[0]  # type: ignore[index]


# -- the end ------------------------------------------------------------------------------------------------


def test_a_collected_executor_finishes_what_was_submitted(fake: FakeService, make: MakeExecutor) -> None:
    fake.hold = True
    executor = Executor()
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)
    del executor
    fake.release()

    assert future.result(PATIENCE) == 1
    fake.wait_for(lambda: bool(fake.closed_pools))
    until_its_threads_have_ended()


def test_a_view_keeps_its_executor_alive(fake: FakeService, make: MakeExecutor) -> None:
    view = Executor().options(retries=1).options(timeout=5)
    gc.collect()
    assert view.submit(abs, 1).result(PATIENCE) == 1
    assert fake.submits[0].options == frames.Options(retries=1, walltime=5)
    del view
    until_its_threads_have_ended()


def test_a_view_that_is_shut_down_leaves_its_executor_open(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    other = executor.submit(abs, 0)
    with executor.options(retries=1) as view:
        future = view.submit(abs, 1)
        fake.wait_for(lambda: fake.held == 2)
        fake.release()
    assert future.done()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        view.submit(abs, 2)
    assert other.result(PATIENCE) == 0
    assert executor.submit(abs, 3).result(PATIENCE) == 3


def test_calls_through_equal_views_travel_as_one_batch(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=3600)
    fake.silent.set()
    executor.submit(abs, 0)
    fake.wait_for(lambda: len(fake.heard) == 1)
    futures = [executor.options(retries=1).submit(abs, n) for n in range(5)]
    fake.speak()

    assert values(futures) == list(range(5))
    assert [batch.count for batch in fake.submits] == [1, 5]


def test_a_view_asks_nothing_that_its_executor_knows(
    make: MakeExecutor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def kind(endpoint: bytes) -> EndpointKind:
        asked.append(endpoint)
        return EndpointKind.OURS

    monkeypatch.setattr(fake, "kind", kind, raising=False)
    one, other = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
    executor = make()
    for endpoint in (one, other, one):
        view = executor.options(endpoint_id=endpoint)
        assert values([view.options(retries=n).submit(abs, n) for n in range(3)]) == [0, 1, 2]

    assert asked == [uuid.UUID(one).bytes, uuid.UUID(other).bytes]


def test_of_two_equal_views_each_cancels_its_own(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    one, other = executor.options(retries=1), executor.options(retries=1)
    mine, theirs = one.submit(abs, 1), other.submit(abs, 2)
    fake.wait_for(lambda: fake.held == 2)

    one.shutdown(cancel_futures=True)
    assert mine.cancelled()
    assert not theirs.cancelled()
    fake.release()
    assert theirs.result(PATIENCE) == 2


def test_a_view_cancels_its_own(executor: Executor, fake: FakeService) -> None:
    fake.hold = True
    other = executor.submit(abs, 0)
    view = executor.options(retries=1)
    future = view.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 2)

    view.shutdown(cancel_futures=True)
    assert future.cancelled()
    assert not other.cancelled()
    fake.release()


def test_shutdown_in_a_callback(make: MakeExecutor, fake: FakeService) -> None:
    executor = make()
    fake.hold = True
    future = executor.submit(abs, 1)
    future.add_done_callback(lambda _: executor.shutdown())
    fake.wait_for(lambda: fake.held == 1)
    fake.release()

    assert future.result(PATIENCE) == 1
    until_its_threads_have_ended()


def test_ctrl_c_in_the_body_withdraws_and_does_not_wait(make: MakeExecutor, fake: FakeService) -> None:
    fake.hold = True
    executor = make()
    future = executor.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)

    assert executor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is None
    assert future.cancelled()


def test_abandoned_it_ends_at_once(fake: FakeService, drive: Drive) -> None:
    driver = drive()
    fake.hold = True
    driver.submit(abs, 1)
    fake.wait_for(lambda: fake.held == 1)

    driver.session.abandon()
    driver.session.join(PATIENCE)
    fake.wait_for(lambda: bool(fake.cancels))
    assert fake.held == 0


def test_abandoned_before_anything_was_submitted(drive: Drive) -> None:
    driver = drive()
    driver.session.abandon()
    with pytest.raises(RuntimeError):
        driver.submit(abs, 1)


def test_a_thread_that_cannot_be_started(make: MakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.submit(abs, 1)
    monkeypatch.undo()

    assert executor.submit(abs, 2).result(PATIENCE) == 2


def test_lost_streams_are_of_the_usual_kind() -> None:
    assert issubclass(StreamLost, ConnectionError)
