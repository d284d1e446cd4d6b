"""Open batches as tests of scheduling need them."""

from __future__ import annotations

from collections.abc import Collection

from compute_executor.protocol.frames import Options
from compute_executor.service.scheduling.queues import OpenBatch

HERE = b"h" * 16


def open_batch(
    number: int = 1,
    count: int = 4,
    *,
    retries: int = 0,
    pool: bytes = b"p" * 16,
    owner: str = "alice",
    group: bytes = b"g" * 16,
    endpoint: bytes = HERE,
    done: Collection[int] = (),
    attempts: dict[int, int] | None = None,
) -> OpenBatch:
    """A batch of one function that is not queued yet. ``done``, ``attempts``: as a restart finds them."""
    batch = OpenBatch(
        number=number,
        prefix=number.to_bytes(12, "big"),
        owner=owner,
        group=group,
        endpoint=endpoint,
        pool=pool,
        count=count,
        options=Options(retries=retries),
        functions=[0],
        with_blobs=False,
    )
    if done or attempts:
        batch.recover(done, attempts or {})
    return batch
