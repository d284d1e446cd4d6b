"""Tokens of Globus Auth at a running service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from compute_executor.service.access import Authenticator
from compute_executor.service.globus.authenticator import GlobusAuthenticator
from compute_executor.service.globus.following import Following
from compute_executor.service.globus.registration import Registration
from compute_executor.service.service import Service


@asynccontextmanager
async def globus_logins(ours: Registration, service: Service) -> AsyncIterator[Authenticator]:
    """Who knows tokens of Globus Auth, while ``service`` is told of what becomes of them."""
    globus = GlobusAuthenticator(ours)
    following = asyncio.ensure_future(Following(globus, service).run())
    try:
        yield globus
    finally:
        following.cancel()
        globus.close()
