from __future__ import annotations

import json

import globus_sdk
import requests

from compute_executor.errors import NotFound, PayloadTooLarge
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


def test_programs_with_globus_sdk_see_the_reason() -> None:
    refused = answer(NotFound("task 1 is not known"))
    response = requests.Response()
    response.status_code, response._content = refused.status_code, bytes(refused.body)
    response.headers["Content-Type"] = "application/json"
    response.request = requests.Request("GET", "http://localhost/").prepare()
    error = globus_sdk.GlobusAPIError(response)
    assert (error.code, error.message) == ("NotFound", "task 1 is not known")
    assert "task 1 is not known" in str(error)
