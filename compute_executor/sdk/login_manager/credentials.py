"""Client credentials from the process environment: an identity for programs instead of people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from compute_executor.errors import InvalidRequest

PAIRS = (
    ("GLOBUS_COMPUTE_CLIENT_ID", "GLOBUS_COMPUTE_CLIENT_SECRET"),
    ("FUNCX_SDK_CLIENT_ID", "FUNCX_SDK_CLIENT_SECRET"),
)
"""Variables that hold the id and the secret; the first pair that is set wins."""


class ClientCredentials(NamedTuple):
    """A client id and its secret. Its repr does not show the secret."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self.client_id!r}, client_secret=...)"


def from_environment(environ: Mapping[str, str] = os.environ) -> ClientCredentials | None:
    """Return the credentials that are set, if any.

    Raises InvalidRequest (a ValueError) if only one of a pair is set: to go on under another identity than the
    one that was meant would be worse.
    """
    found = [_pair(environ, *names) for names in PAIRS]
    return next((credentials for credentials in found if credentials), None)


def _pair(environ: Mapping[str, str], id_name: str, secret_name: str) -> ClientCredentials | None:
    client_id, client_secret = environ.get(id_name), environ.get(secret_name)
    if bool(client_id) != bool(client_secret):
        present, absent = (id_name, secret_name) if client_id else (secret_name, id_name)
        raise InvalidRequest(f"{present} is set but {absent} is not. Set both, or neither")
    return ClientCredentials(client_id, client_secret) if client_id and client_secret else None
