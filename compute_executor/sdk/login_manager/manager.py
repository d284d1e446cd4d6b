"""The login manager that a Client uses unless it is given another: Globus Auth through a globus_sdk app."""

from __future__ import annotations

import globus_sdk
from globus_sdk import AuthClient, ClientApp, GlobusApp, GlobusAppConfig, UserApp
from globus_sdk.scopes import AuthScopes, Scope

from compute_executor.errors import NotAuthorized
from compute_executor.sdk.login_manager import credentials as client_credentials
from compute_executor.sdk.login_manager import environments, tokens
from compute_executor.sdk.login_manager.credentials import ClientCredentials
from compute_executor.sdk.login_manager.storage import TokenFile
from compute_executor.sdk.web_client import WebClient

APP_NAME = "compute-executor"
"""Shown to the user by Globus Auth (which adds the machine's name), beside the consent that they give."""


class LoginManager:
    """Logs in a person (browser and pasted code) or a client with credentials, and serves authorised clients.

    ``app``: use this globus_sdk app instead of making one. ``credentials``: default those in the process
    environment, which take priority over a person's login. Tokens are renewed before they expire.
    """

    def __init__(
        self,
        environment: str | None = None,
        *,
        app: GlobusApp | None = None,
        credentials: ClientCredentials | None = None,
    ) -> None:
        self.environment: str = environment or environments.named_environment() or environments.PRODUCTION
        self._app = app or _make_app(self.environment, credentials or client_credentials.from_environment())

    def ensure_logged_in(self, *, force: bool = False) -> bool:
        """Have tokens, asking the user if there are none that hold, or if ``force``.

        Raises NotAuthorized where nobody can be asked, or if Globus Auth refuses.
        """
        try:
            self._app.add_scope_requirements(
                {environments.RESOURCE_SERVER: [environments.SCOPE], AuthScopes.resource_server: self._who()}
            )
            self._app.login(force=force)
        except EOFError:
            raise NotAuthorized(
                "nobody is logged in to Globus, and there is no terminal to ask. Run `compute-executor login` once, "
                f"or set {client_credentials.PAIRS[0][0]} and {client_credentials.PAIRS[0][1]}"
            ) from None
        except globus_sdk.GlobusAPIError as error:
            raise NotAuthorized(
                f"Globus Auth refused the login: {error.http_status} {error.message}"
            ) from None
        return True

    def is_logged_in(self) -> bool:
        """Return whether there are tokens of a login, or credentials to get them with. Nobody is asked."""
        return isinstance(self._app, ClientApp) or self._has_tokens()

    def logout(self) -> bool:
        """Revoke the tokens and forget them. Whether there were any."""
        had_tokens = self._has_tokens()
        self._app.logout(sweep=True)
        return had_tokens

    def get_auth_client(self) -> AuthClient:
        """Return a client of Globus Auth, to ask who is logged in."""
        return AuthClient(app=self._app, app_scopes=self._who())

    def get_web_client(self, *, base_url: str) -> WebClient:
        """Return the client that every request goes through."""
        return WebClient(base_url=base_url, app=self._app)

    def _who(self) -> list[Scope]:
        """Return what Globus Auth may tell us: of a person name and address as well, which the guide announces."""
        if isinstance(self._app, ClientApp):
            return [AuthScopes.openid]
        return [AuthScopes.openid, AuthScopes.email, AuthScopes.profile]

    def _has_tokens(self) -> bool:
        return bool(self._app.token_storage.token_storage.get_token_data_by_resource_server())

    def __repr__(self) -> str:
        kind = "client" if isinstance(self._app, ClientApp) else "person"
        return f"<LoginManager {self.environment}, {kind}>"


def _make_app(environment: str, credentials: ClientCredentials | None) -> GlobusApp:
    if credentials is not None:
        namespace = tokens.client_namespace(environment, credentials.client_id)
        config = GlobusAppConfig(token_storage=TokenFile(namespace), environment=environment)
        return ClientApp(
            APP_NAME,
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            config=config,
        )
    config = GlobusAppConfig(
        token_storage=TokenFile(tokens.user_namespace(environment)),
        environment=environment,
        request_refresh_tokens=True,
    )
    return UserApp(APP_NAME, client_id=environments.NATIVE_CLIENT_ID, config=config)
