"""Faults: what a test orders to go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from compute_executor.errors import ComputeError, NotAuthorized


@dataclass
class Faults:
    """Faults of a service, its workers and the connections to it. A test may change them at any time; the numbers
    count down as the faults happen."""

    lost_workers: int = 0
    """Calls whose worker is gone after they have begun: each ends with WorkerLost, or runs again if it has
    ``retries`` left. The function is not called then."""
    timeouts: int = 0
    """Calls that end with TaskTimeout. The function is not called then."""
    refused_batches: int = 0
    """Batches of calls that are refused, each with ``refusal``."""
    refusal: ComputeError = field(default_factory=lambda: NotAuthorized("refused, as the test ordered"))
    """What ``refused_batches`` are refused with. It is the exception of each future of the batch; after one that is
    retryable, such as StorageFull, the client submits the batch again."""
    cut_before_stored: int = 0
    """Connections that are cut when a batch comes, before it is kept. The client sends it again."""
    cut_before_answered: int = 0
    """Connections that are cut when a batch has been kept, before the client is told. It sends the batch again, and
    its calls run once all the same."""
    repeated_results: int = 0
    """How many times more than once each result is sent. The client takes the first."""
    reversed_results: bool = False
    """Whether results that are sent together come in the reverse order."""

    def happens(self, name: str) -> bool:
        """Return whether the fault that is counted under ``name`` happens now; then one less is left. The caller
        holds the service's lock."""
        left = int(getattr(self, name))
        if left:
            setattr(self, name, left - 1)
        return left > 0
