"""What is done about each outcome of an attempt: repeat, renew, wait, tell."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NoAnswer,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    RequestNotSent,
    ServiceUnavailable,
    SubmitOutcomeUnknown,
    WorkerLost,
)
from compute_executor.sdk.http.direct import TIMEOUT
from compute_executor.sdk.http.pacing import Pacer
from compute_executor.sdk.http.requests import (
    ATTEMPTS,
    FIRST_PATIENCE,
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
    LONGEST_SILENCE,
    PATIENCE,
    ApiClient,
)
from compute_executor.sdk.http.transport import JSON, Request, Response

GET = Request("GET", "/x")
SUBMIT = Request("POST", "/submit", body=b"{}", repeatable=False)


def answer(status: int = 200, document: Any = None, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {"content-type": JSON, **(headers or {})}, json.dumps(document).encode())


class FakeTransport:
    """Gives one outcome after the other; the last one stays."""

    def __init__(self, *outcomes: Response | ComputeError) -> None:
        self.outcomes = deque(outcomes)
        self.sent: list[Request] = []
        self.renewals = 0

    def send(self, call: Request) -> Response:
        self.sent.append(call)
        outcome = self.outcomes.popleft() if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Response):
            return outcome
        raise outcome

    def renew(self) -> None:
        self.renewals += 1

    def relocate(self) -> None:
        pass

    def address(self) -> str:
        return "http://service"

    def authorization(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def session_of(*outcomes: Response | ComputeError) -> tuple[ApiClient, FakeTransport, list[float]]:
    pauses: list[float] = []
    transport = FakeTransport(*outcomes)
    return ApiClient(transport, pause=pauses.append, clock=lambda: 0.0), transport, pauses


@pytest.mark.parametrize(
    "trouble", [RequestNotSent("refused"), NoAnswer("cut"), answer(503), answer(500), answer(429)]
)
def test_a_repeatable_call_is_repeated_until_it_is_answered(trouble: Response | ComputeError) -> None:
    session, transport, pauses = session_of(trouble, trouble, answer(200, {"a": 1}))
    assert session.get("/x") == {"a": 1}
    assert len(transport.sent) == 3
    assert len(pauses) == 2
    assert 0.125 <= pauses[0] <= 0.25 <= pauses[1] <= 0.5


class FakeClock:
    """Time that goes on by pauses only."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def timed(transport: FakeTransport) -> tuple[ApiClient, FakeClock]:
    clock = FakeClock()
    return ApiClient(transport, pause=clock.pause, clock=clock), clock


def test_a_service_that_was_never_there_is_given_up_soon() -> None:
    transport = FakeTransport(RequestNotSent("nobody answers at http://there"))
    api, clock = timed(transport)
    with pytest.raises(ServiceUnavailable, match="nobody answers at http://there") as caught:
        api.call(GET)
    assert type(caught.value) is ServiceUnavailable
    assert 1 < clock.now <= FIRST_PATIENCE
    assert len(transport.sent) > 2


def test_a_service_that_is_restarting_is_waited_for() -> None:
    transport = FakeTransport(
        answer(200, 1), NoAnswer("killed"), *[RequestNotSent("refused")] * 9, answer(200, 2)
    )
    api, clock = timed(transport)
    assert [api.get("/x"), api.get("/x")] == [1, 2]
    assert clock.now > FIRST_PATIENCE


def test_a_service_that_does_not_come_back_is_given_up() -> None:
    api, clock = timed(FakeTransport(answer(200, 1), RequestNotSent("refused")))
    api.get("/x")
    with pytest.raises(ServiceUnavailable, match="refused"):
        api.get("/x")
    assert PATIENCE - LONGEST_PAUSE <= clock.now <= PATIENCE


def test_answers_that_never_come_whole_are_not_waited_for_many_times() -> None:
    """Each such attempt takes the transport's timeout."""
    clock = FakeClock()

    class Slow(FakeTransport):
        def send(self, call: Request) -> Response:
            clock.now += TIMEOUT
            return super().send(call)

    slow = Slow(NoAnswer("timed out"))
    with pytest.raises(ServiceUnavailable, match="timed out"):
        ApiClient(slow, pause=clock.pause, clock=clock).call(GET)
    assert clock.now <= LONGEST_SILENCE + TIMEOUT


def test_a_call_that_is_not_patient_is_made_once() -> None:
    for trouble in (RequestNotSent("refused"), NoAnswer("cut"), answer(503)):
        session, transport, pauses = session_of(trouble)
        with pytest.raises(ServiceUnavailable):
            session.call(GET, patient=False)
        assert (len(transport.sent), pauses) == (1, [])
    session, transport, _ = session_of(answer(401), answer())
    session.call(GET, patient=False)
    assert transport.renewals == 1


@pytest.mark.parametrize("trouble", [NoAnswer("cut"), answer(503), answer(502)])
def test_it_is_given_up_after_some_attempts(trouble: Response | ComputeError) -> None:
    session, transport, pauses = session_of(trouble)
    with pytest.raises(ServiceUnavailable) as caught:
        session.call(GET)
    assert type(caught.value) is ServiceUnavailable
    assert len(transport.sent) == ATTEMPTS
    assert len(pauses) == ATTEMPTS - 1
    assert sum(pauses) < 60


@pytest.mark.parametrize("trouble", [NoAnswer("cut"), answer(500), answer(502), answer(503), answer(504)])
def test_a_submit_whose_outcome_is_unknown_is_never_sent_again(trouble: Response | ComputeError) -> None:
    session, transport, _ = session_of(trouble, answer())
    with pytest.raises(SubmitOutcomeUnknown, match="may or may not run"):
        session.call(SUBMIT)
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    "trouble",
    [RequestNotSent("refused"), answer(429), answer(503, headers={"retry-after": "1"}), answer(401)],
)
def test_a_submit_that_surely_was_not_done_is_sent_again(trouble: Response | ComputeError) -> None:
    session, transport, _ = session_of(trouble, answer())
    assert session.call(SUBMIT).ok
    assert len(transport.sent) == 2


def test_retry_after_is_waited_for() -> None:
    session, _, pauses = session_of(answer(429, headers={"retry-after": "7"}), answer())
    session.call(GET)
    assert pauses == [7.0]


def test_a_retry_after_that_is_a_date_is_a_pause_of_our_own() -> None:
    session, _, pauses = session_of(
        answer(429, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), answer()
    )
    session.call(GET)
    assert 0 < pauses[0] < 1


def test_a_service_that_asks_for_too_long_is_not_waited_for() -> None:
    session, transport, pauses = session_of(
        answer(429, headers={"retry-after": str(int(LONGEST_RETRY_AFTER) + 1)})
    )
    with pytest.raises(ServiceUnavailable):
        session.call(GET)
    assert (len(transport.sent), pauses) == (1, [])


def test_401_renews_the_token_once() -> None:
    session, transport, pauses = session_of(answer(401), answer(200, 5))
    assert session.get("/x") == 5
    assert (transport.renewals, pauses) == (1, [])


def test_401_again_is_told() -> None:
    session, transport, _ = session_of(answer(401, {"reason": "expired"}))
    with pytest.raises(NotAuthorized, match="expired"):
        session.call(GET)
    assert (transport.renewals, len(transport.sent)) == (1, 2)


def test_403_that_asks_for_a_new_login_is_tried_again_and_other_403_are_not() -> None:
    session, transport, _ = session_of(answer(403, {"authorization_parameters": {}}), answer())
    session.call(GET)
    assert transport.renewals == 1
    session, transport, _ = session_of(answer(403, {"reason": "no"}))
    with pytest.raises(NotAuthorized):
        session.call(GET)
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (answer(404, {"reason": "no such function"}), NotFound, "no such function"),
        (answer(413, {"reason": "Request Entity Too Large"}), PayloadTooLarge, "Too Large"),
        (answer(400, NotFound("by name").document()), NotFound, "by name"),
        (answer(500, WorkerLost("named").document()), WorkerLost, "named"),
        (answer(418, ["a list"]), ComputeError, "418"),
        (Response(400, {"content-type": "text/html"}, b"<html>proxy"), InvalidRequest, "proxy"),
        (Response(404, {}, b"{cut"), NotFound, "cut"),
    ],
)
def test_an_answer_of_failure_becomes_the_error_it_describes(
    reply: Response, kind: type[ComputeError], text: str
) -> None:
    session, _, _ = session_of(reply)
    with pytest.raises(kind, match=text):
        session.call(GET)


def test_a_success_that_is_no_json_is_named() -> None:
    session, _, _ = session_of(Response(200, {}, b"<html>"))
    with pytest.raises(ComputeError, match="no JSON"):
        session.get("/x")


@pytest.mark.parametrize(
    ("send", "method"),
    [
        (lambda session: session.put("/x", {}), "PUT"),
        (lambda session: session.delete("/x"), "DELETE"),
        (lambda session: session.post("/x", {}), "POST"),
        (lambda session: session.call_once("/x", {}), "POST"),
    ],
)
def test_methods(send: Callable[[ApiClient], Any], method: str) -> None:
    session, transport, _ = session_of(answer(200, "done"))
    assert send(session) == "done"
    assert transport.sent[0].method == method


def test_the_pace_is_kept() -> None:
    pauses: list[float] = []
    session = ApiClient(FakeTransport(answer()), Pacer(1, 10.0), pause=pauses.append, clock=lambda: 3.0)
    session.call(GET)
    session.call(GET)
    assert pauses == [10.0]


def test_the_opening_is_done_once_before_the_first_call() -> None:
    def opening(session: ApiClient) -> None:
        session.get("/opening")

    transport = FakeTransport(answer(403), answer())
    session = ApiClient(transport, opening=opening, pause=lambda _: None)
    with pytest.raises(NotAuthorized):
        session.get("/x")
    session.get("/x")
    session.get("/y")
    assert [call.path for call in transport.sent] == ["/opening", "/opening", "/x", "/y"]
