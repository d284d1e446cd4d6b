"""What tests of the service stand on: an application over a fake service, a store, a service over a fake engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from compute_executor.service.access import Identity
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.authenticators import LocalToken
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.store.store import Store
from tests.service.asgi import HOST, TOKEN
from tests.service.fakes import FakeService
from tests.service.fixture import ServiceFixture

ADMIN = Identity("ann", "Ann", admin=True)


@dataclass
class World:
    service: FakeService
    blobs: BlobFolder
    app: Any = None
    stopped: list[bool] = field(default_factory=list)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ann is the one identity that there is a token for."""
    world = World(FakeService(), BlobFolder(tmp_path))
    shell = AppContext(
        cast(Any, world.service), world.blobs, "instance-1", stop=lambda: world.stopped.append(True)
    )
    world.app = make_app(shell, AccessConfig(LocalToken(TOKEN, ADMIN), [HOST], ["http://127.0.0.1:8000"]))
    return world


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, durable=False)
    yield store
    store.close()


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path)
