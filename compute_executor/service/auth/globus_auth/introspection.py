"""Globus Auth and Globus Groups, asked through globus_sdk. Everything here blocks: never on the loop thread.

Where they are follows from globus_sdk's own settings (GLOBUS_SDK_SERVICE_URL_AUTH and _GROUPS name others). No error
of globus_sdk leaves this module, not even as a context (so: raise after `except`): they hold the request, and so
the token.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import globus_sdk
from globus_sdk.scopes import GroupsScopes
from globus_sdk.transport import RequestsTransport, RetryConfig

from compute_executor.errors import LoginUnavailable
from compute_executor.service.auth.globus_auth.judging import active_groups
from compute_executor.service.auth.globus_auth.registration import CLIENT_ID, CLIENT_SECRET, AppRegistration

PATIENCE = 5.0
"""Seconds to wait for one answer. The request that brought the token waits meanwhile (our client for 60 s)."""
REPETITIONS = 1
"""Of a question that met a 5xx, a 429 or a broken connection: more would add to the trouble, clients ask again."""
LONGEST_PAUSE = 1
"""Seconds before it; the client is told the rest of a longer Retry-After."""
LONGEST_RETRY_AFTER = 60
"""Seconds that a client is told to wait, at most."""


class GroupMembership(NamedTuple):
    """The groups of a token's holder; ``refused``: why they cannot be told, if so."""

    ids: frozenset[str]
    refused: str = ""


class GlobusAuthClient:
    """Questions on behalf of one registered service. Any thread may ask: each has a client of its own, because
    globus_sdk's are made for one."""

    def __init__(self, ours: AppRegistration) -> None:
        self._ours = ours
        self._of_thread = threading.local()

    def introspect(self, token: str) -> dict[str, Any]:
        """Return what Globus Auth says of a token. Raises LoginUnavailable if it does not answer, or not this
        service."""
        try:
            return dict(self._auth().oauth2_token_introspect(token).data)
        except globus_sdk.GlobusAPIError as error:
            trouble = _trouble("Globus Auth", error) or LoginUnavailable(
                f"Globus Auth refuses this service itself ({error.http_status}): whoever runs it must check "
                f"{CLIENT_ID} and {CLIENT_SECRET}"
            )
        except globus_sdk.GlobusError as error:
            trouble = _silence("Globus Auth", error)
        raise trouble

    def groups(self, token: str) -> GroupMembership:
        """Return the groups of the token's holder, by a token for Globus Groups that Globus Auth gives for it.

        If that is refused (the scope does not include it, or its holder has not consented), they count as in no
        group: that allows less, never more. Raises LoginUnavailable if there is no answer.
        """
        try:
            return GroupMembership(active_groups(self._memberships(token)))
        except globus_sdk.GlobusAPIError as error:
            trouble = _trouble("Globus Groups", error)
            if trouble is None:
                return GroupMembership(frozenset(), f"{error.http_status} {error.code}")
        except globus_sdk.GlobusError as error:
            trouble = _silence("Globus Groups", error)
        raise trouble

    def _memberships(self, token: str) -> list[Any]:
        scope = str(GroupsScopes.view_my_groups_and_memberships)
        given = self._auth().oauth2_get_dependent_tokens(token, scope=scope).by_resource_server
        theirs = given[GroupsScopes.resource_server]["access_token"]
        authorizer = globus_sdk.AccessTokenAuthorizer(theirs)
        with globus_sdk.GroupsClient(authorizer=authorizer, **_manner()) as client:
            return list(client.get_my_groups(statuses="active"))

    def _auth(self) -> globus_sdk.ConfidentialAppAuthClient:
        if not hasattr(self._of_thread, "auth"):
            self._of_thread.auth = globus_sdk.ConfidentialAppAuthClient(
                self._ours.client_id, self._ours.client_secret, **_manner()
            )
        client: globus_sdk.ConfidentialAppAuthClient = self._of_thread.auth
        return client


def _manner() -> dict[str, Any]:
    return {
        "transport": RequestsTransport(http_timeout=PATIENCE),
        "retry_config": RetryConfig(max_retries=REPETITIONS, max_sleep=LONGEST_PAUSE),
    }


def _trouble(who: str, error: globus_sdk.GlobusAPIError) -> LoginUnavailable | None:
    """Return what to tell if this is trouble of theirs; None if it is a refusal."""
    if error.http_status != 429 and error.http_status < 500:
        return None
    what = "asks us to wait" if error.http_status == 429 else "is in trouble"
    return LoginUnavailable(
        f"{who} {what} ({error.http_status}), so it cannot be told whose this token is. Nothing was done: try again",
        retry_after=_seconds(error.headers.get("Retry-After", "")),
    )


def _silence(who: str, error: Exception) -> LoginUnavailable:
    return LoginUnavailable(
        f"{who} does not answer this service ({type(error).__name__}), so it cannot be told whose this token is. "
        "Nothing was done: try again"
    )


def _seconds(text: str) -> int:
    """Of a Retry-After header, if it has any; else what LoginUnavailable says by itself."""
    asked = int(text) if text.isascii() and text.isdigit() else LoginUnavailable().retry_after
    return min(max(asked or 1, 1), LONGEST_RETRY_AFTER)
