"""The globus_sdk client that carries a Client's requests where a Globus login is used."""

from __future__ import annotations

import platform
from typing import Any

from globus_sdk import BaseClient, GlobusAPIError, GlobusApp
from globus_sdk.authorizers import GlobusAuthorizer
from globus_sdk.gare import GARE
from globus_sdk.scopes import ComputeScopes, Scope
from globus_sdk.services.compute import ComputeAPIError

from compute_executor._version import __version__

USER_AGENT = f"compute-executor/{__version__} Python/{platform.python_version()}"


class WebClient(BaseClient):
    """Requests to a compute service, authorised by an authorizer or an app.

    It is an ordinary globus_sdk client: ``get``, ``post``, ``put``, ``delete`` and ``request`` work as there.
    """

    service_name = "compute"
    scopes: Any = ComputeScopes
    error_class: type[GlobusAPIError] = ComputeAPIError

    def __init__(
        self,
        *,
        base_url: str,
        authorizer: GlobusAuthorizer | None = None,
        app: GlobusApp | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("app_name", USER_AGENT)
        super().__init__(base_url=base_url, authorizer=authorizer, app=app, **options)

    @property
    def default_scope_requirements(self) -> list[Scope]:
        """What a login must allow."""
        return [ComputeScopes.all]

    def authorization(self) -> str | None:
        """Return the value of the Authorization header, renewed if it is about to expire."""
        authorizer = self.authorizer
        if self._app is not None:
            authorizer = self._app.get_authorizer(ComputeScopes.resource_server)
        return authorizer.get_authorization_header() if authorizer is not None else None

    def authenticate_again(self, demand: GARE) -> None:
        """Log in as the service demands (another identity, a recent login, a further consent): a person is asked.

        Nothing happens without an app, which alone could ask.
        """
        if self._app is not None:
            self._app.login(auth_params=demand.authorization_parameters)

    def __repr__(self) -> str:
        return f"<WebClient {self.base_url}>"
