from __future__ import annotations

import uuid

import pytest

from compute_executor.errors import NotFound
from compute_executor.service.endpoint_ids import BUILT_IN, TUTORIAL, resolve


def test_both_names_mean_the_built_in_endpoint() -> None:
    assert resolve(BUILT_IN) == resolve(TUTORIAL) == BUILT_IN
    assert str(TUTORIAL) == "4b116d3c-1703-4f8f-9f6f-39921e5864df"


def test_any_other_is_not_there_and_the_right_one_is_named() -> None:
    with pytest.raises(NotFound, match=str(BUILT_IN)):
        resolve(uuid.uuid4())
