"""Rows of registered endpoints: what is written is what is read."""

from __future__ import annotations

import uuid

import pytest

from compute_executor.service.endpoints import rows

ROW = rows.EndpointRow(
    id=uuid.uuid4(),
    kind="globus_compute",
    owner="alice",
    name="n",
    display_name="N",
    multi_user=True,
    public=False,
    group="physics",
    allowed=None,
    metadata={"a": [1]},
    state={},
    seen=1.5,
    locked_until=0.0,
    created=0.0,
)


@pytest.mark.parametrize("allowed", [None, [], [str(uuid.uuid4())]])
def test_an_endpoint_comes_back(allowed: list[str] | None) -> None:
    row = ROW._replace(allowed=allowed)
    *written, seen, created = rows.endpoint_values(row)
    assert rows.endpoint((*written, "{}", seen, 0.0, created)) == row


def test_a_public_endpoint_runs_for_all_only_if_it_knows_its_users_apart() -> None:
    for multi_user in (False, True):
        row = ROW._replace(public=True, multi_user=multi_user)
        assert row.owned.public
        assert row.usable.public == multi_user
    assert not ROW._replace(multi_user=True).usable.public
