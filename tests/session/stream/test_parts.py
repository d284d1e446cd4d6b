"""Values that several calls share are stored once, and what has changed is another one."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import PayloadTooLarge, ServiceUnavailable
from compute_executor.sdk.own_api import OwnApi
from compute_executor.serialization.buffers import BUFFER, BYTES, Taken
from compute_executor.session.storage import Storage
from compute_executor.session.stream import parts as parts_module
from compute_executor.session.stream.parts import Parts
from tests.login import api_at

SIZE = 600_000


class _Session:
    """Parts over a folder, and what they let go."""

    def __init__(self, storage: Storage | None) -> None:
        self.gone: list[str] = []
        self.storage = storage
        self.parts = Parts(lambda: self.storage, self.gone.append)

    def names(self) -> set[str]:
        return {known.part.name for known in self.parts._known.values()}


@pytest.fixture
def session(tmp_path: Path) -> _Session:
    return _Session(Storage(api_at("http://nowhere", "secret"), tmp_path, takes_parts=True))


def test_what_a_function_carries_is_stored_at_once_and_only_once(session: _Session, tmp_path: Path) -> None:
    value = bytearray(SIZE)
    first = session.parts.of_function(Taken(BUFFER, value))
    assert first is not None
    assert (tmp_path / first.name).read_bytes() == value
    assert session.parts.of_function(Taken(BUFFER, value)) is first
    assert session.parts.of_function(Taken(BUFFER, bytes(SIZE))) is first, "equal is as good as the same"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("position", [0, 1, 4_097, 300_000, SIZE - 1])
def test_what_has_changed_anywhere_is_another_part(session: _Session, tmp_path: Path, position: int) -> None:
    value = bytearray(SIZE)
    first = session.parts.of_function(Taken(BUFFER, value))
    value[position] = 1
    second = session.parts.of_function(Taken(BUFFER, value))

    assert first is not None
    assert second is not None
    assert (tmp_path / second.name).read_bytes() == value
    assert (tmp_path / first.name).read_bytes() == bytes(SIZE)


def test_arguments_become_parts_from_the_second_time_on(session: _Session) -> None:
    taken = Taken(BYTES, bytes(SIZE))
    assert session.parts.of_argument(taken) is None
    second = session.parts.of_argument(taken)
    assert second is not None
    assert session.parts.of_argument(taken) is second
    assert session.parts.of_argument(Taken(BYTES, bytes(SIZE + 1))) is None


def test_the_service_hears_when_nothing_refers_to_a_part_any_more(
    session: _Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "KEPT", 2)
    first = session.parts.of_function(Taken(BYTES, b"1" * SIZE))
    assert first is not None
    name = first.name
    for digit in b"234":
        session.parts.of_function(Taken(BYTES, bytes([digit]) * SIZE))
    gc.collect()
    assert len(session.gone) == 1, "one call still has the first"
    assert name not in session.gone
    del first
    gc.collect()
    assert name in session.gone
    assert len(session.names()) == 2
    monkeypatch.setattr(parts_module, "KEPT_BYTES", SIZE)
    session.parts.of_function(Taken(BYTES, b"5" * SIZE))
    assert len(session.names()) == 1


def test_a_file_that_is_gone_is_written_anew(session: _Session, tmp_path: Path) -> None:
    taken = Taken(BYTES, bytes(SIZE))
    first = session.parts.of_function(taken)
    assert first is not None
    (tmp_path / first.name).unlink()
    second = session.parts.of_function(taken)
    assert second is not None
    assert (tmp_path / second.name).stat().st_size == SIZE


def test_without_a_place_values_travel_in_the_body(session: _Session, tmp_path: Path) -> None:
    taken = Taken(BYTES, bytes(SIZE))
    session.storage = Storage(api_at("http://nowhere", "secret"), tmp_path)
    assert session.parts.of_function(taken) is None, "an older service"
    session.storage = Storage(api_at("http://nowhere", "secret"), tmp_path, 10, takes_parts=True)
    assert session.parts.of_function(taken) is None, "the call will be refused"
    with pytest.raises(PayloadTooLarge, match="a table: 600000 bytes"):
        session.parts.put(bytes(SIZE), "a table")
    session.storage = None
    assert session.parts.of_function(taken) is None
    with pytest.raises(ServiceUnavailable, match="a table cannot be stored"):
        session.parts.put(b"x", "a table")


class _Uploads:
    def __init__(self) -> None:
        self.put: dict[str, bytes] = {}

    def put_blob(self, name: str, content: bytes) -> None:
        self.put[name] = content


def test_on_another_machine_values_are_known_by_their_digest() -> None:
    uploads: Any = _Uploads()
    api: OwnApi = uploads
    session = _Session(Storage(api, takes_parts=True))
    value = bytearray(SIZE)
    first = session.parts.of_function(Taken(BUFFER, value))
    assert first is not None
    assert session.parts.of_function(Taken(BUFFER, value)) is first
    value[100_001] = 7
    second = session.parts.of_function(Taken(BUFFER, value))
    assert second is not None
    assert second is not first
    assert hashlib.sha256(uploads.put[second.name]).digest() == hashlib.sha256(value).digest()
    assert len(uploads.put) == 2
    session.storage = Storage(api, takes_parts=True)
    assert session.parts.of_function(Taken(BUFFER, value)) is not second, (
        "it may be gone after a new connection"
    )
