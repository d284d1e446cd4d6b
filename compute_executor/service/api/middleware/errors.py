"""Whatever goes wrong below is answered as an error document; nothing of the inside is shown."""

from __future__ import annotations

import logging
import traceback

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from compute_executor.errors import ComputeError
from compute_executor.service.api.error_responses import Refusal, answer
from compute_executor.service.audit import Audit, shape

logger: logging.Logger = logging.getLogger(__name__)


class ErrorDocuments:
    """Answers errors with their documents, and what is no error of ours with a 500 that only the log explains.
    ``audit`` hears of all."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self.app = app
        self.audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:  # nobody is there to be answered
            return
        except Exception as error:
            if started:  # half an answer, or an open stream: only closing the connection tells the client
                self._note(scope, error)
                raise
            await answer(_named(error, scope))(scope, receive, send)
            self._note(scope, error)  # after it, so that a refusal takes as long as what is not there

    def _note(self, scope: Scope, error: Exception) -> None:
        where = f"{scope.get('method', 'stream')} {shape(scope.get('path', ''))}"
        client = scope.get("client")
        found = error.error if isinstance(error, Refusal) else error
        self.audit.refused(scope.get("identity"), where, found, client[0] if client else "")


def _named(error: Exception, scope: Scope) -> ComputeError | Refusal:
    if isinstance(error, (ComputeError, Refusal)):
        return error
    # The path is the client's; the log escapes it.
    logger.error("%s failed: %s", scope.get("path"), "".join(traceback.format_exception(error)))
    return ComputeError(f"the service met an unexpected {type(error).__name__}; its log says more")
