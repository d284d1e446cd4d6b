"""Functions by content, by id, shared or not; their code in the store or in a file."""

from __future__ import annotations

import hashlib

import pytest

from compute_executor.errors import (
    FunctionNotPermitted,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
)
from compute_executor.protocol import frames
from compute_executor.service.access import Identity
from compute_executor.service.limits import ServiceLimits
from tests.service.fixture import (
    ALICE,
    BOB,
    CODE,
    DEFAULT_POOL,
    DIGEST,
    POOL,
    SPEC,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)

TEAM = "0a1b2c3d-0000-4000-8000-00000000000f"


@live
async def test_functions_are_known_by_content(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        first, again = await register(service), await register(service)
        assert first == again
        assert service.function(ALICE, first).name == "f"
        assert service.function_body(ALICE, first) == CODE
        shared = await service.register(ALICE, DIGEST, "f", CODE, "", None, True)
        assert shared != first
        assert service.function(BOB, shared).public
        await service.submit(BOB, batch([b"a"], functions=[shared]))
        assert len(take(fixture, of=BOB)) == 1


@live
async def test_who_registers_it_again_may_call_it_otherwise(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await service.register(ALICE, DIGEST, "old", CODE, "old text", {"version": 1})
        assert service.function(ALICE, function).name == "old"
        assert await service.register(ALICE, DIGEST, "new", CODE, "new text", {"version": 2}) == function
        found = service.function(ALICE, function)
        assert (found.name, found.description, found.metadata) == ("new", "new text", {"version": 2})


@live
async def test_it_is_shared_with_a_group_of_ones_own_only(fixture: ServiceFixture) -> None:
    member = Identity("carol", "Carol", frozenset({TEAM}))
    async with serving(fixture) as service:
        with pytest.raises(NotFound, match=f"(?m)^there is no group {TEAM} for you$") as caught:
            await service.register(ALICE, DIGEST, "f", CODE, group=TEAM)
        assert caught.value.document()["code"] == 7
        with pytest.raises(InvalidRequest, match="'physics' is no group id"):
            await service.register(ALICE, DIGEST, "f", CODE, group="physics")
        written = {
            await service.register(member, DIGEST, "f", CODE, group=text)
            for text in (TEAM, TEAM.upper(), TEAM.replace("-", ""), f"{{{TEAM}}}")
        }
        assert len(written) == 1
        assert service.function(Identity("dan", "Dan", frozenset({TEAM})), *written).group == TEAM


@live
async def test_one_finds_what_one_may_run(fixture: ServiceFixture) -> None:
    member, other = (Identity(name, name, frozenset({TEAM})) for name in ("carol", "dan"))
    async with serving(fixture) as service:
        own = await service.register(member, DIGEST, "Heat_map", CODE, "draws 100 %")
        team = await service.register(member, DIGEST, "heat", CODE, group=TEAM)
        everybody = await service.register(member, DIGEST, "sum", CODE, "of Heat", public=True)
        gone = await service.register(other, DIGEST, "heat", CODE, public=True)
        await service.delete_function(other, gone)

        def found(who: Identity, text: str = "") -> set[bytes]:
            return {row.id for row in service.find_functions(who, text)}

        assert found(member) == {own, team, everybody}
        assert found(other) == {team, everybody}
        assert found(BOB) == {everybody}
        assert found(member, "HEAT") == {own, team, everybody}
        assert found(member, "%") == found(member, "t_m") == {own}
        assert found(member, "' OR 1") == set()


@live
async def test_a_wrong_digest_and_too_much_code_are_refused(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(function=100_000)) as service:
        with pytest.raises(InvalidRequest, match="sha256"):
            await service.register(ALICE, b"d" * 32, "f", CODE)
        with pytest.raises(PayloadTooLarge, match="limit is 100000"):
            await service.register(ALICE, DIGEST, "f", bytes(100_001))
        with pytest.raises(PayloadTooLarge, match="metadata"):
            await service.register(ALICE, DIGEST, "f", CODE, "", {"large": "x" * 70_000})


@live
async def test_large_code_is_a_file_once(fixture: ServiceFixture) -> None:
    import hashlib

    code = bytes(80_000)
    async with serving(fixture) as service:
        for _ in range(2):
            function = await service.register(ALICE, hashlib.sha256(code).digest(), "f", code)
        assert len(list(fixture.blobs.folder.iterdir())) == 1
        body = service.function_body(ALICE, function)
        assert fixture.blobs.read(body) == code
        assert await service.register(ALICE, hashlib.sha256(code).digest(), "f", body) == function
        assert fixture.blobs.read(body) == code


@live
async def test_a_deleted_function_is_gone_but_its_open_tasks_run(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await register(service)
        await service.submit(ALICE, batch([b"a"]))
        await service.delete_function(ALICE, function)
        with pytest.raises(NotFound):
            service.function(ALICE, function)
        with pytest.raises(NotFound):
            await service.submit(ALICE, batch([b"a"]))
        (task,) = take(fixture)
        assert fixture.engine.events.function_code(task.function) == CODE


@live
async def test_few_functions_are_remembered_and_all_are_found(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.service.tasks.functions.CACHED", 1)
    async with serving(fixture) as service:
        first = await register(service)
        shared = await service.register(ALICE, DIGEST, "f", CODE, public=True)
        for function in (first, shared, first):
            assert service.function(ALICE, function).id == function
        await register(service, BOB)
        await service.submit(ALICE, batch([b"a"]))


@live
async def test_notes_that_cannot_be_stored_are_logged(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    async with serving(fixture) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.submit(ALICE, batch([b"a"], options=frames.Options(retries=1)))
        monkeypatch.setattr("compute_executor.service.store.writer.Writer.next_attempts", full)
        monkeypatch.setattr("compute_executor.service.store.writer.Writer.drop_pool", full)
        (task,) = take(fixture)
        fixture.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert "runs again could not be stored" in caplog.text
        assert "stays in the store" in caplog.text


@live
async def test_ones_own_come_first_and_a_list_comes_in_parts(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        for number, who in enumerate((BOB, ALICE, BOB, ALICE, BOB)):
            code = b"code %d" % number
            await service.register(who, hashlib.sha256(code).digest(), f"f{number}", code, public=True)
        names = [row.name for row in service.find_functions(ALICE)]
        assert names == ["f3", "f1", "f4", "f2", "f0"]
        parts = [service.find_functions(ALICE, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
        assert [row.name for part in parts for row in part] == names


ELSEWHERE = b"e" * 16
"""An endpoint that is not the service's own."""


@live
async def test_one_for_a_single_endpoint_runs_on_no_other(fixture: ServiceFixture) -> None:
    """Also beside one of the same code that runs anywhere, which callers name by its digest."""
    async with serving(fixture) as service:
        confined = await service.register(ALICE, DIGEST, "f", CODE, only_on=ELSEWHERE)
        with pytest.raises(NotFound, match="register it first"):
            await service.submit(ALICE, batch([b"a"], functions=[DIGEST]))
        anywhere = await register(service)
        assert anywhere != confined
        with pytest.raises(
            FunctionNotPermitted, match=r"65656565-.* only, which was given as ha_endpoint_id"
        ):
            await service.submit(ALICE, batch([b"a"], functions=[anywhere, confined]))
        await service.submit(ALICE, batch([b"a"], functions=[DIGEST]))
        await service.submit(ALICE, batch([b"a"], functions=[anywhere]))
        assert len(take(fixture)) == 2


@live
async def test_one_for_a_single_endpoint_is_shared_with_nobody(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        with pytest.raises(InvalidRequest, match="mutually exclusive"):
            await service.register(ALICE, DIGEST, "f", CODE, public=True, only_on=ELSEWHERE)
