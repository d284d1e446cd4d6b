"""submit: what goes in, what comes out, and what is raised."""

from __future__ import annotations

import functools
import operator
import threading
from concurrent.futures import Executor, Future, TimeoutError

import pytest

from tests.contract import work
from tests.contract.work import PATIENCE, Gate


def test_it_is_an_executor_and_gives_futures(executor: Executor) -> None:
    assert isinstance(executor, Executor)
    assert isinstance(executor.submit(pow, 2, 3), Future)


def test_the_value_of_a_call(executor: Executor) -> None:
    assert executor.submit(work.square, 7).result(PATIENCE) == 49
    assert executor.submit(pow, 2, exp=5).result(PATIENCE) == 32
    assert executor.submit(dict).result(PATIENCE) == {}


@pytest.mark.parametrize(
    "name",
    ["fn", "self", "timeout", "endpoint_id", "args", "kwargs", "executor", "chunksize", "task_id", "retries"],
)
def test_every_keyword_is_the_functions_own(executor: Executor, name: str) -> None:
    assert executor.submit(work.capture, 1, **{name: 2}).result(PATIENCE) == ((1,), {name: 2})


def test_the_function_is_positional(executor: Executor) -> None:
    with pytest.raises(TypeError):
        executor.submit(fn=work.capture)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        executor.submit(arg=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("function", "argument", "value"),
    [
        (lambda x: x + 1, 1, 2),
        (functools.partial(pow, 2), 5, 32),
        (work.Scaled(3).of, 5, 15),
        (work.Scaled(4), 5, 20),
        ("a-b".split, "-", ["a", "b"]),
        (operator.itemgetter(1), (5, 6), 6),
        (int, "12", 12),
        (abs, -3, 3),
    ],
    ids=["lambda", "partial", "bound method", "callable", "builtin method", "itemgetter", "class", "builtin"],
)
def test_whatever_can_be_called(
    executor: Executor, function: object, argument: object, value: object
) -> None:
    assert executor.submit(function, argument).result(PATIENCE) == value  # type: ignore[arg-type]


def test_a_closure_is_taken_as_it_is_when_submitted(make_executor: object) -> None:
    with make_executor(max_workers=1) as executor:  # type: ignore[operator]
        futures = []
        for factor in (2, 3, 5):

            def scaled(x: int, factor: int = factor) -> int:
                return factor * x

            futures.append(executor.submit(scaled, 10))

        assert [future.result(PATIENCE) for future in futures] == [20, 30, 50]


def test_an_exception_comes_back_as_itself(executor: Executor) -> None:
    future = executor.submit(work.fail, ValueError, "no", 3)

    with pytest.raises(ValueError) as raised:
        future.result(PATIENCE)
    assert type(raised.value) is ValueError
    assert raised.value.args == ("no", 3)
    assert future.exception(PATIENCE) is raised.value


def test_an_exception_with_an_init_of_its_own(executor: Executor) -> None:
    error = executor.submit(work.misfit).exception(PATIENCE)

    assert type(error) is work.Misfit
    assert (error.code, error.hint, str(error)) == (7, "turn it round", "misfit 7")


def test_the_cause_of_an_exception(executor: Executor) -> None:
    error = executor.submit(work.chained).exception(PATIENCE)

    assert isinstance(error, RuntimeError)
    assert isinstance(error.__cause__, KeyError)


def test_an_exception_of_the_test_itself(executor: Executor) -> None:
    class Local(Exception):
        pass

    def fail() -> None:
        raise Local("here")

    with pytest.raises(Local, match="here"):
        executor.submit(fail).result(PATIENCE)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_is_an_outcome_too(executor: Executor, kind: type[BaseException]) -> None:
    assert type(executor.submit(work.fail, kind, "out").exception(PATIENCE)) is kind
    assert executor.submit(work.square, 3).result(PATIENCE) == 9


def test_a_result_that_is_an_exception_is_a_value(executor: Executor) -> None:
    assert isinstance(executor.submit(ValueError, "a value").result(PATIENCE), ValueError)


def test_result_gives_up_after_its_timeout(executor: Executor, gate: Gate) -> None:
    future = executor.submit(gate.hold)

    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    gate.open()
    assert future.result(PATIENCE) == "task"


def test_none_and_large_and_odd_values(executor: Executor) -> None:
    large = bytes(range(256)) * 4096  # 1 MiB
    for value in (None, (), large, {"a": [1, {2}]}, float("inf"), "ä€𝄞\ud800"):
        assert executor.submit(work.capture, value).result(PATIENCE) == ((value,), {})


def test_a_thousand_at_once(executor: Executor) -> None:
    futures = [executor.submit(work.square, n) for n in range(1000)]

    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(1000)]


def test_from_fifty_threads(executor: Executor) -> None:
    results: dict[int, list[int]] = {}

    def client(number: int) -> None:
        futures = [executor.submit(work.square, number * 100 + n) for n in range(20)]
        results[number] = [future.result(PATIENCE) for future in futures]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {number: [(number * 100 + n) ** 2 for n in range(20)] for number in range(50)}


def test_two_workers_run_two_tasks_at_a_time(executor: Executor, gate: Gate) -> None:
    futures = [executor.submit(gate.hold, name) for name in ("one", "two")]

    gate.wait_for("one")
    gate.wait_for("two")
    gate.open()

    assert [future.result(PATIENCE) for future in futures] == ["one", "two"]
