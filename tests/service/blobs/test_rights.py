"""Whose blobs are: of whoever put them, then of what refers to them."""

from __future__ import annotations

import contextlib
import hashlib
import secrets

import pytest

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.frames import Blob
from compute_executor.service.access import Identity
from compute_executor.service.blobs import rights
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)

ROOT = Identity("root", "Root", admin=True)
SIZE = 80_000


def new_blob(fixture: ServiceFixture) -> Blob:
    """As a client on this machine puts it."""
    name = secrets.token_hex(16)
    fixture.blobs.path(name).write_bytes(bytes(SIZE))
    return Blob(name, SIZE)


def readers(service: Service, blob: Blob) -> set[str]:
    found = set()
    for who in (ALICE, BOB, ROOT):
        with contextlib.suppress(NotFound):
            service.blob_rights.check_read(who, blob.name)
            found.add(who.id)
    return found


@live
async def test_arguments_and_results_are_the_submitters(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        argument, result = new_blob(fixture), new_blob(fixture)
        assert readers(service, argument) == set()
        await service.submit(ALICE, batch([argument, b"small"]))
        assert readers(service, argument) == {"alice"}
        (first, _) = take(fixture)
        fixture.engine.end(DEFAULT_POOL, [first._replace(body=result)])
        await turn(20)
        assert readers(service, result) == {"alice"}
        with pytest.raises(NotFound):
            service.blob_rights.put(BOB, result.name)


@live
async def test_nobody_refers_to_anothers(fixture: ServiceFixture) -> None:
    """Or its content could be had by submitting it, or registering it, under one's own name."""
    async with serving(fixture) as service:
        for who in (ALICE, BOB):
            await register(service, who)
        argument = new_blob(fixture)
        await service.submit(ALICE, batch([argument]))
        absent = Blob(secrets.token_hex(16), SIZE)
        for blob in (argument, absent):
            with pytest.raises(InvalidRequest, match=f"^blob {blob.name} is not there: put it before"):
                await service.submit(BOB, batch([blob], group=b"b" * 16))
            with pytest.raises(InvalidRequest, match=f"^blob {blob.name} is not there: put it before"):
                await service.register(BOB, hashlib.sha256(bytes(SIZE)).digest(), "f", blob)
        await service.submit(ALICE, batch([argument]))


@live
async def test_code_is_for_whoever_may_read_the_function(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        digest = hashlib.sha256(bytes(SIZE)).digest()
        own, shared = new_blob(fixture), new_blob(fixture)
        await service.register(ALICE, digest, "f", own)
        public = await service.register(ALICE, digest, "f", shared, public=True)
        assert readers(service, own) == {"alice"}
        assert readers(service, shared) == {"alice", "bob", "root"}
        await service.delete_function(ALICE, public)
        assert readers(service, shared) == {"alice"}


@live
async def test_what_is_put_is_its_owners_until_then(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "FRESH", 1)
    async with serving(fixture) as service:
        await register(service, BOB)
        blob = new_blob(fixture)
        service.blob_rights.put(ALICE, blob.name)
        assert readers(service, blob) == {"alice"}
        with pytest.raises(NotFound):
            service.blob_rights.put(BOB, blob.name)
        with pytest.raises(InvalidRequest, match="is not there"):
            await service.submit(BOB, batch([blob]))
        service.blob_rights.put(ALICE, secrets.token_hex(16))  # the oldest is forgotten
        await service.submit(BOB, batch([blob], options=frames.Options()))
        assert readers(service, blob) == {"bob"}
