"""Ids: text or UUID, canonical or refused."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest
from compute_executor.sdk.names import canonical


@given(st.uuids())
def test_every_spelling_that_is_canonical_but_for_case_is_taken(value: uuid.UUID) -> None:
    assert canonical(value, "task") == canonical(str(value), "task") == canonical(str(value).upper(), "task")


@pytest.mark.parametrize("value", ["", "x" * 36, "0" * 32, None, 5, b"0" * 16, "{" + "0" * 36 + "}"])
def test_anything_else_is_named(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="endpoint id"):
        canonical(value, "endpoint")
