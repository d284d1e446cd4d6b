"""An application over a fake service, and everything about it that a test may want to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from compute_executor.service.access import Identity, LocalToken
from compute_executor.service.app import Doors, make_app
from compute_executor.service.blobs import BlobFolder
from compute_executor.service.shell import Shell
from tests.service.asgi import HOST, TOKEN
from tests.service.fakes import FakeService

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
    shell = Shell(
        cast(Any, world.service), world.blobs, "instance-1", stop=lambda: world.stopped.append(True)
    )
    world.app = make_app(shell, Doors(LocalToken(TOKEN, ADMIN), [HOST], ["http://127.0.0.1:8000"]))
    return world
