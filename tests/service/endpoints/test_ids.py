from __future__ import annotations

import uuid

from compute_executor.service.endpoints.ids import BUILT_IN, TUTORIAL, is_built_in


def test_the_built_in_endpoint_has_two_names() -> None:
    assert is_built_in(BUILT_IN)
    assert is_built_in(TUTORIAL)
    assert not is_built_in(uuid.uuid4())
