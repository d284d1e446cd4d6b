"""Authorization: one table, `RULES`, from an action to the relations to a thing that allow it.

Who is asking is an `Identity`, which `auth.authenticators` make of a token.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest, NotFound

LOCAL_USER = "local"


class Identity(NamedTuple):
    """Whoever a token stands for. ``id`` owns things; ``groups`` are ids of groups as `group_id` writes them;
    ``admin`` runs the service. ``endpoint``: it is the registered endpoint of this id, which may open its own stream
    and nothing else."""

    id: str
    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    endpoint: uuid.UUID | None = None


OWNER, MEMBER, ANYONE, ADMIN = "owner", "member", "anyone", "admin"

RULES: dict[str, frozenset[str]] = {
    "read function": frozenset({OWNER, MEMBER, ANYONE}),
    "run function": frozenset({OWNER, MEMBER, ANYONE}),
    "delete function": frozenset({OWNER, ADMIN}),
    "read task": frozenset({OWNER}),
    "cancel task": frozenset({OWNER, ADMIN}),
    "read group": frozenset({OWNER}),
    "cancel group": frozenset({OWNER, ADMIN}),
    "use pool": frozenset({OWNER}),
    "read endpoint": frozenset({OWNER, MEMBER, ANYONE}),
    "run on endpoint": frozenset({OWNER, MEMBER, ANYONE}),
    "manage endpoint": frozenset({OWNER, ADMIN}),
    "use container": frozenset({OWNER}),
    "manage accounts": frozenset({ADMIN}),
    "see service": frozenset({ADMIN}),
    "stop service": frozenset({ADMIN}),
}
"""ANYONE and MEMBER hold only for what its owner made public or shared with a group."""


class Owned(NamedTuple):
    """What a rule needs to know of a thing: whose it is and with whom it is shared."""

    owner: str
    group: str | None = None
    public: bool = False


def may(who: Identity, action: str, thing: Owned) -> bool:
    """Return whether the table allows ``who`` this. Raises KeyError for an action that is not in it."""
    return not RULES[action].isdisjoint(_relations(who, thing))


NOBODYS = Owned("\0")
"""What is not there, as a thing that rules speak of: its answer has to take as long as that for a foreign one."""


def owned_by(owner: str | None) -> Owned:
    """Return what rules need to know of a thing that is never shared; None: it is not there."""
    return NOBODYS if owner is None else Owned(owner)


def check(who: Identity, action: str, thing: Owned, name: str) -> None:
    """Raise NotFound unless it is there and allowed: a foreign thing and an absent one must look the same, and take
    the same steps up to here."""
    allowed = may(who, action, thing)
    if not allowed or thing == NOBODYS:
        raise absent(name, forbidden=None if thing == NOBODYS else action)


_CODES = {
    "function": 3,
    "endpoint": 4,
    "container": 5,
    "task": 6,
    "group": 7,
    "task group": 20,
}
"""Globus Compute's numbers for what was not found."""


class _Absent(NotFound):
    """A NotFound with the number of the kind of thing; to clients simply a NotFound. ``forbidden``: what was not
    allowed, if it is there."""

    def __init__(self, kind: str, name: str, forbidden: str | None) -> None:
        super().__init__(f"there is no {name} for you")
        self._number = _CODES.get(kind, NotFound.code)
        self.forbidden = forbidden

    def document(self) -> dict[str, Any]:
        return {**super().document(), "name": NotFound.__name__, "code": self._number}


def absent(name: str, forbidden: str | None = None) -> NotFound:
    """Return the one answer for what is not there, or not for whoever asks. ``name``: a kind of thing and its id;
    ``forbidden``: the action, if it is there, which the service's own log says and nobody else learns."""
    return _Absent(name.rpartition(" ")[0], name, forbidden)


def forbidden_action(error: BaseException) -> str | None:
    """Return what was not allowed, if that is what an error is about, or its cause."""
    found = error if isinstance(error, _Absent) else error.__cause__
    return found.forbidden if isinstance(found, _Absent) else None


# -- groups of users ----------------------------------------------------------------------------------------


def group_id(text: str) -> str:
    """Return a group's id in its canonical form, as `Identity.groups` and rows have it. Raises InvalidRequest."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidRequest(f"{text[:100]!r} is no group id (a UUID is needed)") from None


def shareable(who: Identity, group: str | None) -> str | None:
    """Return the group that ``who`` shares something with: one that it is in. Raises NotFound, InvalidRequest. The
    local user may name any: a service of one person knows no groups, and the same program must run there."""
    if group is None:
        return None
    canonical = group_id(group)
    if canonical not in who.groups and who.id != LOCAL_USER:
        raise absent(f"group {canonical}", forbidden="share with group")
    return canonical


def _relations(who: Identity, thing: Owned) -> set[str]:
    held = {
        OWNER: who.id == thing.owner,
        MEMBER: thing.group is not None and thing.group in who.groups,
        ANYONE: thing.public,
        ADMIN: who.admin,
    }
    return {relation for relation, holds in held.items() if holds}


SERVICE = Owned(owner="")
"""The service itself, as a thing that rules speak of."""


# -- ids of users -------------------------------------------------------------------------------------------

_SUBJECTS = uuid.UUID("c0de0000-0000-8000-8000-00000000a3e9")
"""Namespace of the ids of users whose own id is no UUID."""


def subject(identity: str) -> str:
    """Return the UUID that stock peers know an identity by."""
    try:
        return str(uuid.UUID(identity))
    except ValueError:
        return str(uuid.uuid5(_SUBJECTS, identity))
