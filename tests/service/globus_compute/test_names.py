from __future__ import annotations

import uuid

from compute_executor.service.access import subject
from compute_executor.service.globus_compute import names

ENDPOINT = uuid.UUID(int=1)


def test_a_user_endpoint_is_one_for_each_user_and_configuration() -> None:
    same = names.user_endpoint_id(ENDPOINT, "ann", {"a": 1, "b": 2})
    assert names.user_endpoint_id(ENDPOINT, "ann", {"b": 2, "a": 1}) == same
    others = {
        names.user_endpoint_id(ENDPOINT, "bob", {"a": 1, "b": 2}),
        names.user_endpoint_id(ENDPOINT, "ann", {"a": 1}),
        names.user_endpoint_id(uuid.UUID(int=2), "ann", {"a": 1, "b": 2}),
    }
    assert len(others - {same}) == 3


def test_no_configuration_is_an_empty_one() -> None:
    assert names.user_endpoint_id(ENDPOINT, "ann", None) == names.user_endpoint_id(ENDPOINT, "ann", {})


def test_a_subject_is_a_uuid_and_stays_one() -> None:
    assert subject(str(ENDPOINT)) == str(ENDPOINT)
    assert uuid.UUID(subject("local"))
    assert subject("local") == subject("local") != subject("ann")


def test_queues_of_one_user_do_not_begin_like_those_of_another() -> None:
    ann, bob = names.result_prefix("ann"), names.result_prefix("bob")
    assert not ann.startswith(bob)
    assert len(ann) == len(bob)
    assert names.result_queue("ann", bytes(16)) == f"{ann}{uuid.UUID(int=0)}"
