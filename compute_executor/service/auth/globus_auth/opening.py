"""Tokens of Globus Auth at a running service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from compute_executor.service.auth.authenticators import Authenticator
from compute_executor.service.auth.globus_auth.authenticator import GlobusAuthenticator
from compute_executor.service.auth.globus_auth.following import StreamOwner, TokenFollower
from compute_executor.service.auth.globus_auth.registration import AppRegistration


@asynccontextmanager
async def globus_logins(ours: AppRegistration, service: StreamOwner) -> AsyncIterator[Authenticator]:
    """Who knows tokens of Globus Auth, while ``service`` is told of what becomes of them."""
    globus = GlobusAuthenticator(ours)
    following = asyncio.ensure_future(TokenFollower(globus, service).run())
    try:
        yield globus
    finally:
        following.cancel()
        globus.close()
