"""One HTTP exchange as values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.errors import ComputeError, NoAnswer, RequestNotSent
from compute_executor.sdk.http.transport import JSON, MSGPACK, Request, Response


def test_a_body_has_its_type_and_none_has_none() -> None:
    assert Request("GET", "/").all_headers() == {"Accept": JSON}
    assert Request("POST", "/", b"", MSGPACK, MSGPACK, headers={"X": "y"}).all_headers() == {
        "Accept": MSGPACK,
        "Content-Type": MSGPACK,
        "X": "y",
    }


@pytest.mark.parametrize("status", [199, 300, 404, 500])
def test_what_is_no_success(status: int) -> None:
    assert not Response(status, {}, b"").ok


def test_a_success_has_a_document() -> None:
    assert Response(200, {}, b"").ok
    assert Response(299, {}, b"").document() is None
    assert Response(200, {}, b'{"a": 1}').document() == {"a": 1}


@settings(deadline=None)
@given(st.binary(max_size=300).map(lambda body: b"<" + body))
def test_a_page_of_a_proxy_is_told_and_not_all_of_it(body: bytes) -> None:
    with pytest.raises(ComputeError, match=f"502, {len(body)} bytes that are no JSON") as caught:
        Response(502, {}, body).document()
    assert len(str(caught.value)) < 1000


def test_both_ways_without_an_answer_may_be_tried_again() -> None:
    assert RequestNotSent("x").retryable
    assert NoAnswer("x").retryable
