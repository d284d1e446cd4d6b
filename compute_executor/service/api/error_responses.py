"""Answers that refuse: an error of errors.py as an HTTP response, on a request or on a WebSocket handshake."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from compute_executor.errors import ComputeError, InvalidRequest, NotAuthorized


class Refusal(Exception):
    """An error to be answered with another HTTP status than its class has (415, 421, 422 ...)."""

    def __init__(self, status: int, error: ComputeError, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Refusal:
    """Return a malformed or unwelcome request, with the status that says which way."""
    return Refusal(status, InvalidRequest(reason), headers)


def unauthenticated() -> Refusal:
    """Return the one answer to a missing, malformed, wrong or misplaced token: it does not tell which."""
    error = NotAuthorized("a valid bearer token is needed: Authorization: Bearer <token>")
    return Refusal(error.http_status, error, {"WWW-Authenticate": "Bearer"})


def answer(error: ComputeError | Refusal) -> JSONResponse:
    """Return the response with the error's document. Starlette sends it on a WebSocket handshake too."""
    if isinstance(error, Refusal):
        return JSONResponse(document(error.error, error.status), error.status, error.headers)
    headers = None if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(document(error, error.http_status), error.http_status, headers)


def document(error: ComputeError, status: int) -> dict[str, Any]:
    """Return the error's document with the status it is answered with. ``errors`` is where globus-sdk finds a message
    and a code that is a word (globus_sdk 4.10, exc/api.py); ``code`` is the number of Globus Compute."""
    said = error.document()
    errors = [{"code": said["name"], "message": said["reason"]}]
    return {**said, "http_status_code": status, "errors": errors}
