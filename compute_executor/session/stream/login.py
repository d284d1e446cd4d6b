"""The login by which a session makes its requests: renewed once when it is refused, for all that ask by it.

Tokens expire, are revoked, or are forgotten by a service that starts anew. A stream that cannot be opened any more is
one way to notice; a large body that is sent or fetched, a poll or a cancel are others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from compute_executor.errors import NotAuthorized
from compute_executor.peer import ServiceEndpoint, ServiceLocator

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class StreamLogin:
    """``address``: where the service is, with the authorization that was last good. Any thread."""

    def __init__(self, peer: ServiceLocator, address: ServiceEndpoint) -> None:
        self.address = address
        self._peer = peer
        self._renewing = threading.Lock()

    def ask(
        self,
        question: Callable[Concatenate[ServiceEndpoint, Arguments], Answer],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Answer:
        """``question(address, ...)``, and once more by another login if this one is refused.

        Raises what the question raises; NotAuthorized if there is no other login, or that one is refused too.
        """
        address = self.address
        try:
            return question(address, *args, **kwargs)
        except NotAuthorized:
            again = self._another(address)
            if again is None:
                raise
        return question(again, *args, **kwargs)

    def _another(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        """Threads that are refused together renew once."""
        with self._renewing:
            if self.address.authorization != refused.authorization:
                return self.address
            again = self._peer.renewed(refused)
            if again is not None:
                self.address = again
            return again
