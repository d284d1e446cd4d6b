"""The conversation by HTTP requests while there is no stream: confirm batches, ask for outcomes, cancel.

Also for a cancel from within a callback: that runs on the thread that would have to read the stream's answer.

Owner: the session's I/O thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from compute_executor.batch import CallBatch
from compute_executor.errors import ComputeError, NotAuthorized
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Accepted, OpenPool, Refused
from compute_executor.protocol.ids import in_parts
from compute_executor.sdk.own_api import MAX_POLL, OwnApi
from compute_executor.session.stream.protocol import StreamProtocol

log = logging.getLogger(__name__)


def converse(dialogue: StreamProtocol, api: OwnApi, batches: Iterable[CallBatch]) -> None:
    """Make one round of requests; ``batches`` are new. ``api`` should not be patient: this thread has other work, and
    comes again. Raises ComputeError if the service cannot be reached that way either, NotAuthorized if it refuses
    the login."""
    dialogue.reached(api)
    for batch in batches:
        dialogue.send(batch)
    dialogue.retry_postponed()
    unconfirmed = dialogue.sender.unconfirmed
    if unconfirmed and dialogue.pool is not None and dialogue.spec is not None:
        api.open_pool(OpenPool(dialogue.pool, dialogue.spec))
    for batch in list(unconfirmed.values()):
        _submit(dialogue, api, batch)
    confirmed = [task for task in dialogue.router.tasks() if task[0] not in unconfirmed]
    for part in in_parts(confirmed, MAX_POLL):
        dialogue.ended(api.poll(part))


def _submit(dialogue: StreamProtocol, api: OwnApi, batch: CallBatch) -> None:
    registers, submit = dialogue.sender.messages(batch)
    try:
        for frame in registers:
            api.register(frame)
        api.submit(submit)
    except ComputeError as error:
        if error.retryable or isinstance(error, NotAuthorized):  # not about this batch
            raise
        dialogue.refused(Refused(batch.prefix, error.document()))
    else:
        dialogue.accepted(Accepted(batch.prefix))


def withdraw(dialogue: StreamProtocol, futures: list[ComputeFuture[Any]] | None) -> None:
    """Cancel what has not begun (None: all), and wait for the answer."""
    tasks = dialogue.open_tasks(futures)
    if not tasks or dialogue.api is None:
        return
    try:
        cancelled = dialogue.api.impatient().cancel(tasks)
    except ComputeError as error:
        log.info("cannot cancel: %s", error)
        return
    for prefix, positions in cancelled:
        dialogue.withdrawn(prefix, positions)
