"""Requests with everything that goes around them: pace, repetition, renewal, and errors of errors.py.

What comes of an attempt, and what is done about it:

====================================  =================================================================
no connection                         again, after a pause: nothing was sent. For PATIENCE seconds if the
                                      service has answered before (it may be restarting), else FIRST_PATIENCE
no answer                             again if the call is repeatable; else SubmitOutcomeUnknown
401; 403 that asks for a new login    once more with a renewed token
429; 503 with Retry-After             again after the time it says: the service did nothing
500, 502, 504; 503 without            again if the call is repeatable; else SubmitOutcomeUnknown
2xx                                   the answer
any other                             the error that its document describes
====================================  =================================================================

A call that is not patient is made once, and once more with a renewed token. This is the only place where answers
become errors.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

from compute_executor.backoff import Backoff
from compute_executor.errors import (
    ComputeError,
    NoAnswer,
    RequestNotSent,
    ServiceUnavailable,
    SubmitOutcomeUnknown,
    from_document,
)
from compute_executor.sdk.http.pacing import Pacer
from compute_executor.sdk.http.transport import JSON, Request, Response, Transport

ATTEMPTS = 6
"""How often a call is made in all that reaches the service (globus_sdk: 1 + 5)."""
PATIENCE = 60.0
"""Seconds for which a service that has answered before may be away: more than a restart takes."""
FIRST_PATIENCE = 3.0
"""The same for a service that never answered: more likely a wrong address than one that is restarting."""
LONGEST_SILENCE = 120.0
"""Seconds after which a call is not made again whose answers do not come, or not whole."""
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
"""Seconds between two attempts."""
LONGEST_RETRY_AFTER = 120.0
"""Seconds that a service may ask us to wait; one that asks for more gets its refusal handed to the caller."""

_TROUBLED = (500, 502, 503, 504)


class ApiClient:
    """Calls to one service. Any thread may call; the pacer is used under a lock.

    ``opening``: done once, before the first call; if it raises, that call was not made, and the next tries again.
    """

    def __init__(
        self,
        transport: Transport,
        pacer: Pacer | None = None,
        *,
        opening: Callable[[ApiClient], None] | None = None,
        pause: Callable[[float], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.transport = transport
        self.reached: bool = False  # whether the service has ever answered; any thread sets it
        self._pacer = pacer
        self._pacing = threading.Lock()
        self._opening = opening
        self._pause = pause or sleep
        self._clock = clock or monotonic

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the document at ``path``."""
        return self.call(Request("GET", path, query=query or {})).document()

    def post(self, path: str, document: Any, **options: Any) -> Any:
        """Send a document, get one. ``options`` are fields of Call."""
        return self.call(Request("POST", path, body=_json(document), **options)).document()

    def call_once(self, path: str, document: Any) -> Any:
        """Send a document that makes something new each time it arrives, so that it is not sent again when it is
        unknown whether it did."""
        return self.post(path, document, repeatable=False)

    def put(self, path: str, document: Any) -> Any:
        """Replace the document at ``path``."""
        return self.call(Request("PUT", path, body=_json(document))).document()

    def delete(self, path: str) -> Any:
        """Remove what is at ``path``."""
        return self.call(Request("DELETE", path)).document()

    def call(self, call: Request, *, patient: bool = True) -> Response:
        """Return the answer to a call, if it is one of success. Raises an error of errors.py otherwise.

        ``patient``: whether the call is made again where that may help.
        """
        self._open()
        begun, renewed = self._clock(), False
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        for attempt in itertools.count(1):
            self._keep_pace()
            answer = self._attempt(call)
            if isinstance(answer, ComputeError):
                trouble, pause = answer, backoff.failed(random.random())
            elif answer.ok:
                return answer
            elif _wants_renewal(answer) and not renewed:
                renewed = True
                self.transport.renew()
                continue
            else:
                trouble, pause = _refusal(answer), _refusal_pause(call, answer, backoff)
            waited = self._clock() + pause - begun
            if not patient or self._is_given_up(trouble, attempt, waited):
                raise _as_public(trouble)
            self._pause(pause)
        raise AssertionError("the loop is left by return or raise only")

    def _attempt(self, call: Request) -> Response | ComputeError:
        """Return the answer, or why there was none. Raises SubmitOutcomeUnknown if that must not be tried again."""
        try:
            answer = self.transport.send(call)
        except RequestNotSent as error:
            return error
        except NoAnswer as error:
            return _repeatable(call, error)
        self.reached = True
        return answer

    def _is_given_up(self, trouble: ComputeError, attempts: int, waited: float) -> bool:
        """``waited``: seconds from the first attempt to the end of the next pause."""
        if isinstance(trouble, RequestNotSent):
            return waited > (PATIENCE if self.reached else FIRST_PATIENCE)
        return attempts >= ATTEMPTS or (isinstance(trouble, NoAnswer) and waited > LONGEST_SILENCE)

    def _open(self) -> None:
        """Open it: calls of the opening itself find it under way, and go through."""
        opening, self._opening = self._opening, None
        if opening is not None:
            try:
                opening(self)
            except BaseException:
                self._opening = opening
                raise

    def _keep_pace(self) -> None:
        if self._pacer is None:
            return
        with self._pacing:
            pause = self._pacer.reserve(self._clock())
        if pause > 0:
            self._pause(pause)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _repeatable(call: Request, error: NoAnswer) -> NoAnswer:
    """Return the error itself if the call may be made again; else raises what is to be told."""
    if call.repeatable:
        return error
    unknown = "The tasks may or may not run" if call.path.endswith("/submit") else "It may or may not be done"
    raise SubmitOutcomeUnknown(
        f"{error}. {unknown}: "
        "this service cannot recognise a repetition, so nothing was sent again. Look for the effects, then ask again "
        "for what is missing"
    ) from error


def _wants_renewal(answer: Response) -> bool:
    """Return whether a new token may help: it is expired, or the service names what the login must hold besides."""
    return answer.status == 401 or (answer.status == 403 and b"authorization_parameters" in answer.body)


def _refusal_pause(call: Request, answer: Response, backoff: Backoff) -> float:
    """Return the seconds until the call may be made again. Raises the refusal if it stays one however often it is
    asked."""
    asked = _retry_after(answer)
    if asked > LONGEST_RETRY_AFTER:
        raise _refusal(answer)
    if answer.status == 429 or (answer.status == 503 and asked):
        return asked or backoff.failed(random.random())
    if answer.status not in _TROUBLED:
        raise _refusal(answer)
    if not call.repeatable:
        reason = _refusal(answer).message
        told = f"{call.method} {call.path} was answered with {answer.status}: {reason}"
        _repeatable(call, NoAnswer(told))
    return backoff.failed(random.random())


def _retry_after(answer: Response) -> float:
    """Return the seconds of a Retry-After header; 0 if there is none, or one with a date."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _refusal(answer: Response) -> ComputeError:
    """Return what an answer of failure says, as an error."""
    document: Any = None
    if answer.headers.get("content-type", JSON).startswith(JSON):
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
    if not isinstance(document, dict):
        document = {
            "reason": f"the service answered {answer.status}: {answer.body[:200].decode(errors='replace')!r}"
        }
    return from_document(document, http_status=answer.status)


def _as_public(error: ComputeError) -> ComputeError:
    """Without the distinction between RequestNotSent and NoAnswer, which is of this package."""
    return ServiceUnavailable(str(error)) if isinstance(error, (RequestNotSent, NoAnswer)) else error
