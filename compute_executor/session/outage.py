"""The conversation by HTTP requests while there is no stream: confirm batches, ask for outcomes, cancel.

Also for a cancel from within a callback: that runs on the thread that would have to read the stream's answer.

Owner: the session's I/O thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from compute_executor.batch import Batch
from compute_executor.errors import ComputeError
from compute_executor.future import ComputeFuture
from compute_executor.peer import Address
from compute_executor.protocol.frames import Accepted, OpenPool, Refused
from compute_executor.results.polling import poll
from compute_executor.session import by_http
from compute_executor.session.dialogue import Dialogue

log = logging.getLogger(__name__)


def converse(dialogue: Dialogue, address: Address, batches: Iterable[Batch]) -> None:
    """One round; ``batches`` are new. Raises ComputeError if the service cannot be reached that way either."""
    dialogue.reached(address)
    for batch in batches:
        dialogue.send(batch)
    dialogue.retry_postponed()
    unconfirmed = dialogue.sender.unconfirmed
    if unconfirmed and dialogue.pool is not None and dialogue.spec is not None:
        by_http.open_pool(address, OpenPool(dialogue.pool, dialogue.spec))
    for batch in list(unconfirmed.values()):
        _submit(dialogue, address, batch)
    confirmed = [task for task in dialogue.router.tasks() if task[0] not in unconfirmed]
    for result in poll(address, confirmed):
        dialogue.end(result)


def _submit(dialogue: Dialogue, address: Address, batch: Batch) -> None:
    registers, submit = dialogue.sender.messages(batch)
    try:
        for frame in registers:
            by_http.register(address, frame)
        by_http.submit(address, submit)
    except ComputeError as error:
        if error.retryable:
            raise
        dialogue.refused(Refused(batch.prefix, error.document()))
    else:
        dialogue.accepted(Accepted(batch.prefix))


def withdraw(dialogue: Dialogue, futures: list[ComputeFuture[Any]] | None) -> None:
    """Cancel what has not begun (None: all), and wait for the answer."""
    tasks = dialogue.open_tasks(futures)
    if not tasks or dialogue.address is None:
        return
    try:
        cancelled = by_http.cancel(dialogue.address, tasks)
    except ComputeError as error:
        log.info("cannot cancel: %s", error)
        return
    for prefix, positions in cancelled:
        dialogue.withdrawn(prefix, positions)
