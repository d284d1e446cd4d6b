"""How this service is known to Globus Auth: the id and secret of its registration, and the scope that it takes.

They come from environment variables, because a command line can be read by every user of the machine, and are
taken out of the environment, so that workers do not inherit them.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

from compute_executor.errors import InvalidRequest

CLIENT_ID = "COMPUTE_EXECUTOR_GLOBUS_CLIENT_ID"
CLIENT_SECRET = "COMPUTE_EXECUTOR_GLOBUS_CLIENT_SECRET"
SCOPE = "COMPUTE_EXECUTOR_GLOBUS_SCOPE"


class AppRegistration(NamedTuple):
    """``scope``: what a token must be for. Its repr does not show the secret."""

    client_id: str
    client_secret: str
    scope: str

    def __repr__(self) -> str:
        return f"Registration(client_id={self.client_id!r}, client_secret=..., scope={self.scope!r})"


def take_registration(environ: MutableMapping[str, str]) -> AppRegistration:
    """Return the registration, taken out of ``environ``. The scope is by default the one that Globus Auth's own pages
    have people create: ``https://auth.globus.org/scopes/<client id>/all``.

    Raises InvalidRequest (a ValueError) if id or secret is missing.
    """
    client_id, secret = environ.pop(CLIENT_ID, ""), environ.pop(CLIENT_SECRET, "")
    scope = environ.pop(SCOPE, "")
    missing = [name for name, value in ((CLIENT_ID, client_id), (CLIENT_SECRET, secret)) if not value]
    if missing:
        raise InvalidRequest(
            f"--auth globus needs {' and '.join(missing)}: register this service at https://app.globus.org/settings/"
            "developers (a service API), and set the id and the secret that it gets there"
        )
    return AppRegistration(client_id, secret, scope or f"https://auth.globus.org/scopes/{client_id}/all")
