from __future__ import annotations

import json

from compute_executor.errors import PayloadTooLarge
from compute_executor.service.api.error_responses import Refusal, answer, refusal, unauthenticated


def test_the_status_of_the_answer_is_in_its_document() -> None:
    response = answer(refusal(415, "not like this", {"X": "y"}))
    document = json.loads(bytes(response.body))
    assert (response.status_code, document["http_status_code"]) == (415, 415)
    assert (document["name"], document["reason"]) == ("InvalidRequest", "not like this")
    assert response.headers["x"] == "y"


def test_an_error_has_the_status_of_its_class() -> None:
    assert answer(PayloadTooLarge("too long")).status_code == 413


def test_whoever_is_not_known_is_told_how_to_be() -> None:
    refused = unauthenticated()
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.headers) == (401, {"WWW-Authenticate": "Bearer"})
    assert str(refused) == str(refused.error)
