"""Lines about refusals: who, what, by what; and how many at most. (That every refusal has one: test_sharing.py.)"""

from __future__ import annotations

import secrets
import uuid

import pytest

from compute_executor.errors import InvalidRequest, LoginUnavailable, NotFound, ServiceUnavailable
from compute_executor.service.access import Identity, absent
from compute_executor.service.api.error_responses import refusal, unauthenticated
from compute_executor.service.audit import LINES, NAMED, PER_WINDOW, WINDOW, Audit, shape
from compute_executor.service.auth.authenticators import new_token

ANN, LOCAL = Identity("id-ann", "Ann"), Identity("local", "local")
FOREIGN = absent("task 1234", forbidden="read task")


class Book:
    """An audit whose lines are kept, and whose clock stands still."""

    def __init__(self) -> None:
        self.now = 5.0
        self.lines: list[str] = []
        self.audit = Audit(self.lines.append, lambda: self.now)


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_line_says_who_what_and_by_what(book: Book) -> None:
    book.audit.refused(ANN, "frame Subscribe", FOREIGN)
    book.audit.refused(LOCAL, "GET /v2/tasks/*", FOREIGN, "10.0.0.7")
    book.audit.refused(None, "stream /v3/stream", unauthenticated().error, "10.0.0.7")
    assert book.lines == [
        "refused: Ann (id-ann) may not read task, by frame Subscribe",
        "refused: local at 10.0.0.7 may not read task, by GET /v2/tasks/*",
        "refused: somebody at 10.0.0.7 is not let in (a valid bearer token is needed: Authorization: Bearer "
        "<token>), by stream /v3/stream",
    ]


def test_what_a_refusal_was_the_cause_of_is_one(book: Book) -> None:
    error = InvalidRequest("blob x is not there")
    error.__cause__ = absent("blob x", forbidden="use blob")
    book.audit.refused(ANN, "frame Submit", error)
    assert book.lines == ["refused: Ann (id-ann) may not use blob, by frame Submit"]


@pytest.mark.parametrize(
    "error",
    [
        absent("task 1234"),
        NotFound("no"),
        InvalidRequest("no"),
        ServiceUnavailable("no"),
        LoginUnavailable("Globus Auth is away"),
        refusal(415, "no").error,
        ValueError("a bug"),
    ],
)
def test_what_is_no_refusal_is_not_written(book: Book, error: Exception) -> None:
    book.audit.refused(ANN, "GET /v2/tasks/*", error)
    assert book.lines == []


def test_one_user_cannot_drown_the_others(book: Book) -> None:
    for _ in range(1000):
        book.audit.refused(ANN, "x", FOREIGN)
        book.audit.refused(None, "x", unauthenticated().error)
    assert len(book.lines) == 2 * PER_WINDOW
    book.audit.refused(LOCAL, "x", FOREIGN)
    assert book.lines[-1] == "refused: local may not read task, by x"
    book.now += WINDOW - 0.1
    book.audit.refused(ANN, "x", FOREIGN)
    assert len(book.lines) == 2 * PER_WINDOW + 1


def test_many_users_together_have_a_limit_too(book: Book) -> None:
    for number in range(10 * LINES):
        book.audit.refused(Identity(f"u{number}", "u"), "x", FOREIGN)
    assert len(book.lines) == LINES


def test_in_the_next_minute_it_is_said_how_many_more_there_were(book: Book) -> None:
    for number in range(NAMED + 1):
        for _ in range(PER_WINDOW + 10 * number):
            book.audit.refused(Identity(f"u{number}", "u"), "x", FOREIGN)
    for _ in range(2000):
        book.audit.refused(None, "x", unauthenticated().error)
    del book.lines[:]
    book.now += WINDOW
    book.audit.refused(ANN, "x", FOREIGN)
    assert book.lines == [
        "refused 2,040 more times since then, within 60 s: most were of strangers (2,000), u3 (50), u2 (40)",
        "refused: Ann (id-ann) may not read task, by x",
    ]
    del book.lines[:]
    book.now += WINDOW
    book.audit.refused(ANN, "x", FOREIGN)
    assert len(book.lines) == 1


def test_a_path_is_shown_by_the_words_of_routes() -> None:
    assert shape("/v2/get_amqp_result_connection_url") == "/v2/get_amqp_result_connection_url"
    assert shape(f"/v3/endpoints/{uuid.uuid4()}/submit") == "/v3/endpoints/*/submit"
    assert shape("/v2/oauth2/token") == "/v2/oauth2/token"
    for secret in (new_token(), secrets.token_hex(16), "my password", "a\nb", "x" * 10_000, "%41", "Ärger"):
        assert shape(f"/v3/blobs/{secret}") == "/v3/blobs/*"
    assert len(shape("/a" * 100_000)) < 20
    assert shape("") == ""
