from __future__ import annotations

from pathlib import Path

from compute_executor.service.access import Identity
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.authenticators import LocalToken
from compute_executor.service.blobs.folder import BlobFolder
from tests.service.asgi import HOST, TOKEN, ask
from tests.service.conftest import World
from tests.service.fakes import FakeService


def test_the_version_names_this_run(world: World) -> None:
    document = ask(world.app, "GET", "/v2/version?service=all").json()
    assert document["instance"] == "instance-1"
    assert document["min_sdk_version"]


def test_programs_with_globus_sdk_get_the_version_as_they_ask_for_it(world: World) -> None:
    sdk = {"User-Agent": "globus-sdk-py-4.9.1"}
    assert ask(world.app, "GET", "/v2/version", headers=sdk).json() == "2.0.0"
    assert ask(world.app, "GET", "/v2/version?service=all", headers=sdk).json()["api"] == "2.0.0"
    assert ask(world.app, "GET", "/v2/version").json()["instance"] == "instance-1"


def test_how_it_is_doing(world: World) -> None:
    assert ask(world.app, "GET", "/v3/overview").json() == {"tasks": {"queued": 0}}


def test_its_end_is_asked_for_once_per_call(world: World) -> None:
    assert ask(world.app, "POST", "/v3/shutdown").json() == {"status": "ending", "instance": "instance-1"}
    assert world.stopped == [True]


def test_only_who_runs_the_service_may_look_at_it_and_end_it(tmp_path: Path) -> None:
    stopped: list[bool] = []
    shell = AppContext(FakeService(), BlobFolder(tmp_path), "i", stop=lambda: stopped.append(True))  # type: ignore[arg-type]
    app = make_app(shell, AccessConfig(LocalToken(TOKEN, Identity("bob", "Bob")), [HOST]))
    assert ask(app, "GET", "/v3/overview").status == 404
    assert ask(app, "POST", "/v3/shutdown").status == 404
    assert stopped == []
