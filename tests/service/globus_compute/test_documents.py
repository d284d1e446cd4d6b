"""What stock endpoints are given."""

from __future__ import annotations

import uuid

from compute_executor.service.globus_compute import documents

SUBJECT = str(uuid.uuid4())


def test_an_identity_can_be_mapped_to_a_local_account() -> None:
    """globus-identity-mapping skips those without a status of used or private, and names them by id."""
    command = documents.start_command(
        uuid.uuid4(), uuid.uuid4(), "amqp://broker/", (SUBJECT, "ann@clients"), {}, {}
    )
    [identity] = command["globus_identity_set"]
    assert identity["status"] in ("used", "private")
    assert identity["id"] == identity["sub"] == command["globus_effective_identity"] == SUBJECT
    assert identity["username"] == "ann@clients"
