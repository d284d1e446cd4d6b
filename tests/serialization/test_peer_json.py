"""JSON of stock peers: what Python's module writes can be read, and nothing else raises anything else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.serialization.peer_json import decode

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


class Document(msgspec.Struct):
    text: str
    more: dict[str, Any] = {}


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2))
def test_what_pythons_json_writes_is_read(text: str, more: dict[str, str]) -> None:
    found = decode(json.dumps({"text": text, "more": more}).encode(), Document)
    pairs_joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert found.text == pairs_joined.encode(errors="replace").decode()


def test_a_lone_surrogate_is_a_question_mark() -> None:
    assert decode(b'{"text": "no file \\udcff here"}', Document).text == "no file ? here"


@given(st.binary(max_size=50))
def test_other_bytes_are_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(content, Document)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"text": "\\udcff"',
        b'{"text": 5, "x": "\\udcff"}',
        b'{"text": "\\udcff", "more": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"text": "", "more": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    ],
)
def test_what_is_malformed_or_too_deep_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(content, Document)
