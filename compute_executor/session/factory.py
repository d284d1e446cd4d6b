"""The choice of a connection by the kind of endpoint."""

from __future__ import annotations

from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.session.connection import Connection, ConnectionOwner
from compute_executor.session.stream.connection import StreamConnection


def make_connection(owner: ConnectionOwner, kind: EndpointKind) -> Connection:
    """Make the connection that serves endpoints of this kind. It opens nothing yet."""
    if kind is EndpointKind.HOSTED:
        # Imported here: programs that use a service of this package, nearly all, need none of it.
        from compute_executor.session.hosted.connection import HostedConnection

        return HostedConnection(owner, owner.settings.peer.client())
    return StreamConnection(owner)
