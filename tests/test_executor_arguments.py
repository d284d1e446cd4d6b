"""Checks of what an Executor is made with."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from compute_executor import Client
from compute_executor import executor_arguments as arguments
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import Options

ENDPOINT = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: arguments.check_output("screen"), ValueError, "'program' or 'log', not 'screen'"),
        (lambda: arguments.check_workers(0, None), ValueError, "greater than 0"),
        (lambda: arguments.check_workers(None, "no function"), TypeError, "initializer must be a callable"),
        (lambda: arguments.endpoint_options(None, {"a": 1}, None, None), TypeError, "endpoints of Globus"),
        (lambda: arguments.check_service(Client(), "lab"), TypeError, "client and profile"),
        (lambda: arguments.check_own_workers(ENDPOINT, None, 2), TypeError, "workers of another endpoint"),
        (lambda: arguments.check_name("fit", "other", None), TypeError, "name stands for"),
        (lambda: arguments.check_name("fit", "fit", ENDPOINT), TypeError, "name stands for"),
        (lambda: arguments.pace_of(0, None), ValueError, "api_burst_limit"),
        (lambda: arguments.id_bytes("no id", "container"), InvalidRequest, "container"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    wrong: Callable[[], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        wrong()


def test_what_is_right_is_read() -> None:
    arguments.check_output("log")
    arguments.check_service(None, "lab")
    arguments.check_own_workers(None, 2, print)
    arguments.check_own_workers(ENDPOINT, None, None)
    arguments.check_name("fit", "fit", None)
    arguments.check_name("", "a label", ENDPOINT)
    assert (arguments.check_workers(None, print), arguments.check_workers(3, None)) == (None, 3)
    assert arguments.endpoint_options(None, None, None, None) == Options()
    assert arguments.endpoint_options(ENDPOINT, {"a": 1}, None, None).resource_specification == {"a": 1}
    assert (arguments.id_bytes(None, "container"), arguments.id_bytes(ENDPOINT, "it")) == (
        b"",
        ENDPOINT.bytes,
    )


def test_of_a_pace_one_number_is_enough() -> None:
    assert arguments.pace_of(None, None) is None
    assert arguments.pace_of(2, None) == (2, arguments.BURST_WINDOW)
    assert arguments.pace_of(None, 1.5) == (arguments.BURST, 1.5)
