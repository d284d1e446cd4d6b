"""What an introspected token is worth here."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.service.auth.globus_auth.judging import TokenHolder, TokenRefused, active_groups, judge
from tests.service.auth.globus_auth.conftest import ALICE, OURS

NOW = 1_000_000.0
GOOD: dict[str, Any] = {
    "active": True,
    "sub": ALICE,
    "username": "alice@example.org",
    "scope": f"openid {OURS.scope}",
    "aud": [OURS.client_id, "another"],
    "exp": NOW + 60,
}


def test_a_good_one() -> None:
    assert judge(GOOD, OURS, NOW) == TokenHolder(ALICE, "alice@example.org", NOW + 60)
    assert judge({**GOOD, "aud": OURS.client_id, "username": None}, OURS, NOW) == TokenHolder(
        ALICE, ALICE, NOW + 60
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"active": False}, "not active"),
        ({"active": "true"}, "not active"),
        ({"aud": ["another"]}, "it is for another"),
        ({"aud": None}, "not for"),
        ({"aud": f"x{OURS.client_id}"}, "not for"),
        ({"scope": f"{OURS.scope}s"}, "its scope"),
        ({"scope": None}, "its scope"),
        ({"sub": ""}, "no subject"),
        ({"exp": None}, "when it expires"),
        ({"exp": NOW}, "expired"),
    ],
)
def test_what_is_worth_nothing(change: dict[str, Any], why: str) -> None:
    verdict = judge({**GOOD, **change}, OURS, NOW)
    assert isinstance(verdict, TokenRefused)
    assert why in verdict.why


def test_only_active_memberships_count() -> None:
    def group(name: str, *statuses: str) -> dict[str, Any]:
        return {"id": name, "my_memberships": [{"status": status} for status in statuses]}

    groups = [group("A", "removed", "active"), group("b", "invited"), group("c"), {"id": "d"}]
    assert active_groups(groups) == {"a"}
