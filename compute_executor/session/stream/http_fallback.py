"""The HTTP fallback while there is no stream: submit batches, poll for outcomes, cancel.

Also for a cancel by code that runs on the I/O thread (a finalizer, a method that unpickling calls): that thread would
have to read the stream's answer.

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

log: logging.Logger = logging.getLogger(__name__)


def exchange(protocol: StreamProtocol, api: OwnApi, batches: Iterable[CallBatch]) -> None:
    """Make one round of requests; ``batches`` are new. ``api`` should not be patient: this thread has other work, and
    comes again. Raises ComputeError if the service cannot be reached that way either, NotAuthorized if it refuses
    the login."""
    protocol.reached(api)
    for batch in batches:
        protocol.send(batch)
    protocol.retry_postponed()
    unconfirmed = protocol.sender.unconfirmed
    if unconfirmed and protocol.pool is not None and protocol.spec is not None:
        api.open_pool(OpenPool(protocol.pool, protocol.spec))
    for batch in list(unconfirmed.values()):
        _submit(protocol, api, batch)
    confirmed = [task for task in protocol.router.tasks() if task[0] not in unconfirmed]
    for part in in_parts(confirmed, MAX_POLL):
        protocol.ended(api.poll(part))


def _submit(protocol: StreamProtocol, api: OwnApi, batch: CallBatch) -> None:
    registers, submit = protocol.sender.messages(batch)
    try:
        for frame in registers:
            api.register(frame)
        api.submit(submit)
    except ComputeError as error:
        if error.retryable or isinstance(error, NotAuthorized):  # not about this batch
            raise
        protocol.refused(Refused(batch.prefix, error.document()))
    else:
        protocol.accepted(Accepted(batch.prefix))


def withdraw(protocol: StreamProtocol, futures: list[ComputeFuture[Any]] | None) -> None:
    """Cancel tasks that have not begun (None: all), and wait for the answer."""
    tasks = protocol.open_tasks(futures)
    if not tasks or protocol.api is None:
        return
    try:
        cancelled = protocol.api.impatient().cancel(tasks)
    except ComputeError as error:
        log.info("cannot cancel: %s", error)
        return
    for prefix, positions in cancelled:
        protocol.withdrawn(prefix, positions)
