"""Rows for a store, and one operation at a time."""

from __future__ import annotations

from typing import Any

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import Blob, Options
from compute_executor.service.store.rows import NewBatch
from compute_executor.service.store.store import Operation, Store

GROUP, POOL, FUNCTION = b"g" * 16, b"p" * 16, b"f" * 16


def new_batch(number: int = 1, count: int = 2, group: bytes = GROUP, **changed: Any) -> NewBatch:
    return NewBatch(
        **{
            "prefix": number.to_bytes(12, "big"),
            "owner": "alice",
            "group": group,
            "endpoint": b"",
            "pool": POOL,
            "functions": [FUNCTION, b"h" * 16],
            "tasks": b"tasks",
            "size": count,
            "options": Options(retries=3),
            "created": 10.0,
            "blobs": [],
            "key": None,
            **changed,
        }
    )


def ended(batch: int, position: int, body: bytes | Blob = b"value") -> TaskEnded:
    return TaskEnded(batch, position, 1, 0, body, 1.0, 2.0)


def do(store: Store, operation: Operation) -> Any:
    done = store.run([operation])[0]
    assert done.error is None
    return done.result
