from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from compute_executor.errors import ServiceUnavailable
from compute_executor.local.state import BLOBS, DATABASE, RINGS
from compute_executor.service.process.assembly import default_pool, open_service
from compute_executor.service.service import Service
from compute_executor.service.store.store import Store


@pytest.mark.parametrize("durable", [False, True])
def test_a_folder_becomes_a_service(tmp_path: Path, durable: bool) -> None:
    async def scenario() -> dict[str, object]:
        service = await open_service(tmp_path, durable=durable)
        try:
            assert not service.busy()
            return service.overview()
        finally:
            await service.close()

    for _ in range(2):  # made, then found
        assert asyncio.run(scenario())["durability"] == ("machine" if durable else "process")
    for name in (BLOBS, RINGS):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / DATABASE).stat().st_mode) == 0o600


def test_a_service_that_cannot_start_gives_its_store_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_service: Service, **_: object) -> None:
        raise ServiceUnavailable("not today")

    closed: list[Store] = []
    monkeypatch.setattr(Service, "start", fail)
    monkeypatch.setattr(Store, "close", lambda store: closed.append(store))
    with pytest.raises(ServiceUnavailable, match="not today"):
        asyncio.run(open_service(tmp_path, durable=False))
    assert len(closed) == 1
    monkeypatch.undo()
    closed[0].close()


def test_a_file_in_the_way_has_a_name(tmp_path: Path) -> None:
    (tmp_path / RINGS).touch()
    with pytest.raises(ServiceUnavailable, match=str(tmp_path / RINGS)):
        asyncio.run(open_service(tmp_path, durable=False))


def test_the_default_workers_see_what_the_service_sees_but_not_what_was_set_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/for/the/service")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = default_pool()
    assert "PYTHONPATH" not in spec.environ
    assert "PYTHONSAFEPATH" not in spec.environ
    assert spec.environ["ONE"] == "1"
    assert (spec.python, spec.path, spec.cwd) == (sys.executable, sys.path, str(tmp_path))
    assert 1 <= spec.max_workers <= (os.cpu_count() or 1)
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert default_pool().cwd == "/"
