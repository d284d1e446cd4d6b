"""What the routes work with: the service, its blobs, and how to end its process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec
from starlette.requests import HTTPConnection
from starlette.responses import Response

from compute_executor.service.access import Identity
from compute_executor.service.api.request_bodies import JSON, MSGPACK

if TYPE_CHECKING:
    from compute_executor.service.auth.accounts.accounts import Accounts
    from compute_executor.service.auth.clients import Clients
    from compute_executor.service.blobs.folder import BlobFolder
    from compute_executor.service.service import Service


@dataclass(frozen=True)
class AppContext:
    """One running service. ``instance`` names this run of it; ``stop`` asks its process to end, and returns.
    ``keys``: owner and Idempotency-Key of submits that are being stored; ``clients``: who may log in;
    ``accounts``: users, groups and tokens, where they are kept."""

    service: Service
    blobs: BlobFolder
    instance: str
    stop: Callable[[], None]
    keys: set[tuple[str, str]] = field(default_factory=set)
    clients: Clients | None = None
    accounts: Accounts | None = None


def shell_of(request: HTTPConnection) -> AppContext:
    """Return the shell that the application was made with."""
    return cast(AppContext, request.app.state.shell)


def identity_of(request: HTTPConnection) -> Identity:
    """Return who is asking: put there by `middleware.token`, which lets nobody else through."""
    return cast(Identity, request.scope["identity"])


def is_ours(request: HTTPConnection) -> bool:
    """Return whether a client of this package is asking: it names itself, or nothing (for requests without a
    stream)."""
    agent = request.headers.get("User-Agent", "")
    return not agent or agent.startswith("compute-executor/")


def json_answer(document: Any, headers: dict[str, str] | None = None) -> Response:
    """200 with this document."""
    return Response(msgspec.json.encode(document), media_type=JSON, headers=headers)


def msgpack_answer(message: Any) -> Response:
    """200 with this message."""
    return Response(msgspec.msgpack.encode(message), media_type=MSGPACK)
