from __future__ import annotations

import contextlib
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest
from compute_executor.service.api.documents import SubmitDocument
from compute_executor.service.api.request_bodies import parse_uuid, read_msgpack, strict_json

BAD = {
    "nothing": b"",
    "cut short": b'{"tasks": {',
    "more after the end": b'{"tasks": {}} x',
    "byte order mark": b'\xef\xbb\xbf{"tasks": {}}',
    "utf-16": '{"tasks": {}}'.encode("utf-16"),
    "not utf-8": b'{"tasks": {"\xff": []}}',
    "lone surrogate": b'{"tasks": {"\\ud800": []}}',
    "nan": b'{"tasks": {}, "resource_specification": {"a": NaN}}',
    "infinity": b'{"tasks": {}, "resource_specification": {"a": 1e999}}',
    "huge integer": b'{"tasks": {}, "resource_specification": {"a": ' + b"9" * 5000 + b"}}",
    "deep arrays": b"[" * 100_000,
    "deep in a free field": b'{"tasks": {}, "resource_specification": {"a": ' + b"[" * 100_000,
    "deep in an unknown field": b'{"tasks": {}, "b": ' + b"[" * 100_000,
    "deep and whole": b'{"tasks": {}, "resource_specification": {"a": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}}",
    "a name twice": b'{"tasks": {}, "tasks": {}}',
    "a name twice, deeper": b'{"tasks": {"a": [], "a": []}}',
    "a name twice, said otherwise": b'{"tasks": {"a": [], "\\u0061": []}}',
    "a name twice in an unknown field": b'{"tasks": {}, "b": {"c": 1, "c": 2}}',
    "wrong type": b'{"tasks": []}',
    "missing": b"{}",
    "array": b"[]",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_is_not_strictly_json_of_this_shape_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        strict_json(body, SubmitDocument)
    assert len(str(caught.value)) < 500


def test_unknown_fields_and_large_bodies_are_fine() -> None:
    body = json.dumps({"tasks": {"a": ["x" * 1000] * 5000}, "user_runtime": {"python": [3, 11]}}).encode()
    assert len(strict_json(body, SubmitDocument).tasks["a"]) == 5000


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_whatever_raise_anything_else(body: bytes) -> None:
    for read in (strict_json, read_msgpack):
        with contextlib.suppress(InvalidRequest):
            read(body, SubmitDocument)


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_what_others_write_is_read(tasks: dict[str, list[str]]) -> None:
    try:
        body = json.dumps({"tasks": tasks}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert strict_json(body, SubmitDocument).tasks == tasks


def test_deep_msgpack_is_an_invalid_request() -> None:
    for body in (b"\x91" * 100_000, msgspec.msgpack.encode({"tasks": {}})[:-1], b"\xc1"):
        with pytest.raises(InvalidRequest):
            read_msgpack(body, SubmitDocument)


@given(st.uuids())
def test_ids_are_read_in_either_case(one: uuid.UUID) -> None:
    assert parse_uuid(str(one), "task") == parse_uuid(str(one).upper(), "task") == one


@pytest.mark.parametrize(
    "text",
    ["", "x", "{c0de0000-0000-8000-8000-00000000c0de}", "c0de0000000080008000000000000c0de", "../../etc/passwd",
     "urn:uuid:c0de0000-0000-8000-8000-00000000c0de", "c0de0000-0000-8000-8000-00000000c0dé", "0" * 10_000],
)  # fmt: skip
def test_other_forms_are_not(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no task id"):
        parse_uuid(text, "task")
