"""What an introspected token is worth here. Values in, values out: no I/O, no clock.

The document is that of RFC 7662, as Globus Auth answers it (the shape is recorded in globus_sdk's own fixtures).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from compute_executor.service.auth.globus_auth.registration import AppRegistration


class TokenHolder(NamedTuple):
    """Whose a token is: ``id`` is the identity's UUID, ``name`` what they call themselves; ``expires``: Unix time."""

    id: str
    name: str
    expires: float


class TokenRefused(NamedTuple):
    """Why a token is worth nothing here. For the log: whoever brought it is told only that it is not valid."""

    why: str


def judge(document: Mapping[str, Any], ours: AppRegistration, now: float) -> TokenHolder | TokenRefused:
    """Return whose the token is, if it is active, not expired, for this service and for its scope.

    ``nbf`` is not looked at: Globus Auth itself says whether a token is active, and clocks differ.
    """
    if document.get("active") is not True:
        return TokenRefused("it is not active: expired, revoked, or never issued")
    if ours.client_id not in _words(document.get("aud")):
        return TokenRefused(f"it is for {' '.join(_words(document.get('aud')))}, not for {ours.client_id}")
    if ours.scope not in _words(document.get("scope")):
        return TokenRefused(f"its scope is {document.get('scope')}, not {ours.scope}")
    subject, expires = document.get("sub"), document.get("exp")
    if not isinstance(subject, str) or not subject or not isinstance(expires, (int, float)):
        return TokenRefused("it has no subject, or does not say when it expires")
    if expires <= now:
        return TokenRefused(f"it expired {now - expires:.0f} s ago")
    return TokenHolder(subject, str(document.get("username") or subject), float(expires))


def _words(value: Any) -> list[str]:
    """Return a claim that is a text of words, or a list of texts."""
    if isinstance(value, str):
        return value.split()
    return [str(one) for one in value] if isinstance(value, list) else []


def active_groups(memberships: Any) -> frozenset[str]:
    """Return the ids of the groups of which somebody is an active member, from Globus Groups' list of theirs."""
    return frozenset(
        str(group["id"]).lower()
        for group in memberships
        if any(one.get("status") == "active" for one in group.get("my_memberships", ()))
    )
