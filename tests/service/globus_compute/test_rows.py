"""Rows of stock peers: what is written is what is read."""

from __future__ import annotations

import uuid

from compute_executor.service.globus_compute import rows


def test_a_user_endpoint_comes_back() -> None:
    row = rows.UserEndpointRow(
        uuid.uuid4(), uuid.uuid4(), "alice", "Alice", {"a": 1}, {"python": "3"}, {}, {}, 0.0
    )
    assert rows.user_endpoint((*rows.user_endpoint_values(row), "{}", "{}", 0.0)) == row


def test_what_was_given_says_whether_it_came_back() -> None:
    assert rows.given((b"u", 1, 2, 3, 4, 0, "more")) == (b"u", 1, 2, 3, 4, False)
    assert rows.given((b"u", 1, 2, 3, 4, 1)).back is True
