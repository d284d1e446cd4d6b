"""What was decided about tokens of late, by their hashes, so that Globus Auth is not asked at every request.

Bounded and short-lived; time is passed in. Owner: the loop thread.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from compute_executor.service.access import Identity

LIFE = 30.0
"""Seconds that a decision holds, and so at most how long a revoked token or a membership that has ended still does.
Globus's own toolkit for such services (globus-action-provider-tools) keeps introspections for 30 s and calls that
the best practice; it keeps a refusal as long as an acceptance, and so does this."""

MAX_DECISIONS = 10_000
"""About 5 MB. The oldest goes first: that costs a question more, nothing else."""


class Decision(NamedTuple):
    """Whose a token is (None: nobody's), and until when that holds."""

    identity: Identity | None
    until: float


class Decisions:
    """See the module."""

    def __init__(self, limit: int = MAX_DECISIONS) -> None:
        self._limit = limit
        self._made: OrderedDict[bytes, Decision] = OrderedDict()

    def get(self, digest: bytes, now: float) -> Decision | None:
        """Return the decision about this token, if it still holds."""
        found = self._made.get(digest)
        return found if found is not None and now < found.until else None

    def put(self, digest: bytes, identity: Identity | None, now: float, expires: float) -> Decision:
        """Keep a decision: for LIFE, and never beyond the Unix time at which the token expires."""
        decision = Decision(identity, min(now + LIFE, expires))
        self._made.pop(digest, None)
        self._made[digest] = decision
        while len(self._made) > self._limit:
            self._made.popitem(last=False)
        return decision

    def forget(self, digest: bytes) -> None:
        """Decide anew at the next request with this token."""
        self._made.pop(digest, None)

    def __len__(self) -> int:
        return len(self._made)
