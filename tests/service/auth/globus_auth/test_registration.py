"""How the service knows its own registration."""

from __future__ import annotations

import pytest

from compute_executor.service.auth.globus_auth.registration import (
    CLIENT_ID,
    CLIENT_SECRET,
    SCOPE,
    AppRegistration,
    take_registration,
)


def test_it_is_taken_out_of_the_environment() -> None:
    environ = {CLIENT_ID: "id", CLIENT_SECRET: "canary", "PATH": "/bin"}
    taken = take_registration(environ)
    assert taken == AppRegistration("id", "canary", "https://auth.globus.org/scopes/id/all")
    assert environ == {"PATH": "/bin"}
    assert "canary" not in repr(taken)


def test_another_scope() -> None:
    assert take_registration({CLIENT_ID: "id", CLIENT_SECRET: "s", SCOPE: "theirs"}).scope == "theirs"


@pytest.mark.parametrize("missing", [CLIENT_ID, CLIENT_SECRET])
def test_half_of_it_is_a_value_error_and_still_taken(missing: str) -> None:
    environ = {CLIENT_ID: "canary-id", CLIENT_SECRET: "canary"}
    del environ[missing]
    with pytest.raises(ValueError, match=missing) as caught:
        take_registration(environ)
    assert environ == {}
    assert "canary" not in str(caught.value)
