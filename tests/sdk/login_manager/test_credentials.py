"""Client credentials from the environment: the newer names win, half a pair is an error."""

from __future__ import annotations

import pytest

from compute_executor.sdk.login_manager.credentials import ClientCredentials, from_environment

OLD = {"FUNCX_SDK_CLIENT_ID": "old", "FUNCX_SDK_CLIENT_SECRET": "old secret"}
NEW = {"GLOBUS_COMPUTE_CLIENT_ID": "new", "GLOBUS_COMPUTE_CLIENT_SECRET": "new secret"}


def test_none_set() -> None:
    assert from_environment({}) is None
    assert from_environment({"FUNCX_SDK_CLIENT_ID": "", "FUNCX_SDK_CLIENT_SECRET": ""}) is None


@pytest.mark.parametrize(("environ", "client_id"), [(OLD, "old"), (NEW, "new"), ({**OLD, **NEW}, "new")])
def test_the_newer_names_win(environ: dict[str, str], client_id: str) -> None:
    assert from_environment(environ) == ClientCredentials(client_id, f"{client_id} secret")


@pytest.mark.parametrize("missing", [*OLD, *NEW])
def test_exactly_one_of_a_pair_is_a_value_error(missing: str) -> None:
    environ = {key: value for key, value in {**OLD, **NEW}.items() if key != missing}
    with pytest.raises(ValueError, match=missing) as caught:
        from_environment(environ)
    assert "secret" not in str(caught.value)


def test_the_secret_is_in_no_repr() -> None:
    assert "canary" not in repr(ClientCredentials("id", "canary"))
