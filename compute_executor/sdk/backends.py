"""Which service a Client means, and with whose login, by what it was given and what it finds.

The first that applies:

0. a profile is named: the service and the token of that profile (`local.config`)
1. a login manager, an authorizer or an app was given: through globus_sdk, to ``base_url`` or the environment's
2. a base URL with a token: straight there
3. a base URL alone: with client credentials if there are some, with the Globus login if it is Globus Compute's
   own, with the embedded service's token if it is that one; else without any
4. COMPUTE_EXECUTOR_PROFILE or the configuration file names a profile, and no environment is given
5. an environment is named, by argument or by GLOBUS_SDK_ENVIRONMENT: Globus login
6. client credentials are in the process environment, or somebody has logged in: Globus login, production
7. the embedded service
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.local import config
from compute_executor.sdk.http.direct import DirectTransport, embedded_address, fixed_place, url_parts
from compute_executor.sdk.http.transport import Transport
from compute_executor.sdk.http.trust import trust
from compute_executor.sdk.http.web_transport import WebTransport
from compute_executor.sdk.login_manager import credentials, environments, tokens
from compute_executor.sdk.login_manager.credentials import ClientCredentials
from compute_executor.sdk.login_manager.protocol import LoginManagerProtocol

if TYPE_CHECKING:
    from globus_sdk import GlobusApp
    from globus_sdk.authorizers import GlobusAuthorizer


class BackendChoice(NamedTuple):
    """What a Client was given."""

    environment: str | None = None
    base_url: str | None = None
    token: str | None = None
    login_manager: LoginManagerProtocol | None = None
    authorizer: GlobusAuthorizer | None = None
    app: GlobusApp | None = None
    force_login: bool = False
    insecure_http: bool = False
    profile: str | None = None


class Backend(NamedTuple):
    """A way to a service. ``own``: it is one of ours (None: ask it). ``login_manager``: who logged in, if one did."""

    transport: Transport
    own: bool | None
    login_manager: LoginManagerProtocol | None = None


def choose(wanted: BackendChoice) -> Backend:
    """Return the backend for what a Client was given. Logs in where a login manager is used.

    Raises InvalidRequest for arguments that exclude each other, NotAuthorized if the login fails.
    """
    _check(wanted)
    if wanted.profile is not None or _nothing_said(wanted):
        found = config.find_profile(wanted.profile)
        if found is not None:
            return _of_profile(found, wanted.insecure_http)
    if wanted.login_manager or wanted.authorizer or wanted.app:
        return _given_login(wanted)
    if wanted.token is not None and wanted.base_url is not None:
        return _direct(wanted.base_url, wanted.token, wanted.insecure_http)
    client = credentials.from_environment()
    if wanted.base_url is not None:
        return _at_url(wanted, wanted.base_url, client)
    environment = wanted.environment or environments.named_environment()
    if environment or client or _logged_in() or wanted.force_login:
        return _hosted(environment or environments.PRODUCTION, None, wanted.force_login)
    return Backend(DirectTransport(embedded_address), own=True)


def _nothing_said(wanted: BackendChoice) -> bool:
    """Return whether neither a service nor a login was named, so that the configured profile is meant, if there is
    one."""
    return not (wanted.force_login or any(getattr(wanted, name) is not None for name in (*_LOGINS, *_PLACES)))


def _of_profile(profile: config.Profile, insecure: bool) -> Backend:
    if profile.certificate is not None:
        trust(profile.url, profile.certificate)
    return _direct(profile.url, profile.token(), insecure)


_LOGINS = ("token", "login_manager", "authorizer", "app")
_PLACES = ("base_url", "environment")


def _check(wanted: BackendChoice) -> None:
    if wanted.profile is not None:
        given = [name for name in (*_LOGINS, *_PLACES) if getattr(wanted, name) is not None]
        if given:
            raise InvalidRequest(
                f"profile and {' and '.join(given)} exclude each other: the profile says which service, and as whom"
            )
    if wanted.base_url is not None:
        url_parts(wanted.base_url)
    given = [name for name in _LOGINS if getattr(wanted, name) is not None]
    if len(given) > 1:
        raise InvalidRequest(f"{' and '.join(given)} exclude each other: each says who is asking")
    if wanted.token is not None and wanted.base_url is None:
        raise InvalidRequest("a token is for the service that gave it: say which with base_url=")
    if wanted.base_url is not None and wanted.environment is not None:
        raise InvalidRequest("base_url and environment exclude each other: each says which service")


def _url(wanted: BackendChoice) -> str:
    """Return the service of a given login: Globus Compute's unless another is named."""
    named = wanted.environment or environments.named_environment() or environments.PRODUCTION
    url = wanted.base_url or environments.service_url(named)
    return fixed_place(url, "a-token-will-be-sent", insecure=wanted.insecure_http).url


def _given_login(wanted: BackendChoice) -> Backend:
    url = _url(wanted)
    manager = wanted.login_manager
    if manager is not None:
        if not isinstance(manager, LoginManagerProtocol):
            raise InvalidRequest(f"{type(manager).__name__} has not the methods of LoginManagerProtocol")
        _log_in(manager, wanted.force_login)
        return Backend(WebTransport(url, lambda: manager.get_web_client(base_url=url)), _own(url), manager)
    if wanted.app is not None:
        from compute_executor.sdk.login_manager.manager import LoginManager  # imports globus_sdk

        of_app = LoginManager(app=wanted.app)
        if wanted.force_login:
            of_app.ensure_logged_in(force=True)
        return Backend(WebTransport(url, lambda: of_app.get_web_client(base_url=url)), _own(url), of_app)
    return Backend(WebTransport(url, lambda: _web_client(url, wanted.authorizer)), _own(url))


def _log_in(manager: LoginManagerProtocol, force: bool) -> None:
    """Log in, again if ``force`` and it is our own manager: the protocol knows no way to say it."""
    from compute_executor.sdk.login_manager.manager import LoginManager  # imports globus_sdk

    if force and isinstance(manager, LoginManager):
        manager.ensure_logged_in(force=True)
    else:
        manager.ensure_logged_in()


def _web_client(url: str, authorizer: GlobusAuthorizer | None) -> Any:
    from compute_executor.sdk.web_client import WebClient  # imports globus_sdk

    return WebClient(base_url=url, authorizer=authorizer)


def _direct(url: str, token: str | None, insecure: bool) -> Backend:
    place = fixed_place(url, token, insecure=insecure)
    return Backend(DirectTransport(lambda: place), _own(url))


def _at_url(wanted: BackendChoice, url: str, client: ClientCredentials | None) -> Backend:
    if environments.is_hosted(url):
        return _hosted(environments.named_environment() or environments.PRODUCTION, url, wanted.force_login)
    if client is not None:
        address = fixed_place(url, client.client_secret, insecure=wanted.insecure_http).url
        return Backend(WebTransport(address, lambda: _own_login(address, client)), _own(url))
    return _direct(url, _embedded_token(url), wanted.insecure_http)


def _own_login(url: str, client: ClientCredentials) -> Any:
    """Return a web client with client credentials of a service of our own, which answers the token route itself."""
    from globus_sdk import ClientCredentialsAuthorizer, ConfidentialAppAuthClient

    login = ConfidentialAppAuthClient(client.client_id, client.client_secret, base_url=url)
    return _web_client(url, ClientCredentialsAuthorizer(login, environments.SCOPE))


def _hosted(environment: str, url: str | None, force: bool) -> Backend:
    from compute_executor.sdk.login_manager.manager import LoginManager  # imports globus_sdk

    address = url or environments.service_url(environment)
    manager = LoginManager(environment)
    manager.ensure_logged_in(force=force)
    return Backend(
        WebTransport(address, lambda: manager.get_web_client(base_url=address)), _own(address), manager
    )


def _own(url: str) -> bool | None:
    """False for Globus Compute's own services; others are asked."""
    return False if environments.is_hosted(url) else None


def _logged_in() -> bool:
    """Return whether a person has logged in to Globus Compute from here."""
    return bool(tokens.load(tokens.user_namespace(environments.PRODUCTION)))


def _embedded_token(url: str) -> str | None:
    """Return the token of the embedded service if this is its URL."""
    from compute_executor.local import embedded

    found = embedded.find()
    return found.token if found is not None and found.url == url.rstrip("/") else None
