"""Columns that hold several things, both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.protocol.frames import Options
from compute_executor.service.store.rows import (
    decode_metadata,
    decode_options,
    encode_metadata,
    encode_options,
    split_ids,
)


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=5))
def test_ids_in_one_column_come_apart(ids: list[bytes]) -> None:
    assert split_ids(b"".join(ids)) == ids


def test_options_and_metadata_come_back() -> None:
    options = Options(walltime=2.5, retries=3, user_endpoint_config={"a": [1]})
    assert decode_options(encode_options(options)) == options
    assert decode_metadata(encode_metadata({"a": {"b": None}})) == {"a": {"b": None}}
