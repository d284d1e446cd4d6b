"""Commands on a state folder in which no service runs: its lock is held meanwhile, so that one process writes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from compute_executor.errors import ServiceUnavailable
from compute_executor.local.locks import wait_lock
from compute_executor.local.state import DATABASE, SERVICE_LOCK, prepare_folder
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.accounts.commands import AccountCommand, Document, perform
from compute_executor.service.store.store import Operation, Store

PATIENCE = 1.0
"""Seconds to wait for the lock: who asks whether it is held holds it for an instant."""


def perform_in(folder: Path, command: str, asked: AccountCommand) -> Document:
    """Do it in the store of the folder, made if it is not there. Raises ServiceUnavailable if a service has it."""
    os.umask(0o077)
    prepare_folder(folder)
    lock = wait_lock(folder / SERVICE_LOCK, time.monotonic() + PATIENCE)
    if lock is None:
        raise ServiceUnavailable(
            f"a service that does not answer (yet) holds {folder / SERVICE_LOCK}: try again"
        )
    try:
        return asyncio.run(_perform(folder, command, asked))
    finally:
        os.close(lock)


async def _perform(folder: Path, command: str, asked: AccountCommand) -> Document:
    store = Store(folder / DATABASE, durable=True)

    async def commit(operation: Operation) -> Any:
        (done,) = store.run([operation])
        if done.error is not None:
            raise done.error
        return done.result

    try:
        return await perform(Accounts(store.read, commit), command, asked)
    finally:
        store.close()
