"""Releases of the stock SDK beside releases of the stock endpoint, on our service.

Two pairs run always: one here and, in the other files, the newest of both.
`python -m integration.run stock --all` runs all of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compute_executor.cli.sdk_imports import find
from integration.stock.conftest import World
from integration.stock.environment import stock_python
from integration.stock.peers import HERE, Endpoint, Sdk, answer

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

SDKS = ("2.34.0", "3.16.1", "4.0.0", "4.10.2", "4.19.0")
ENDPOINTS = ("4.10.2", "4.19.0")
SCRIPTS = HERE / "scripts"
PAIRS = (
    [(sdk, endpoint) for endpoint in ENDPOINTS for sdk in SDKS]
    if os.environ.get("TEST_ALL_RELEASES")
    else [("3.16.1", "4.10.2")]
)

THEIRS = {
    "shell": ("2.34.0", "3.16.1"),  # the class has moved since: workers of 4.x cannot read it
}
"""Checks that cannot pass with releases of the SDK, for a reason of their own."""

EndpointOf = Callable[[str], Endpoint]


@pytest.fixture(scope="module")
def endpoint_of(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointOf]:
    """Starts an endpoint of a release once, and returns it."""
    running: dict[str, Endpoint] = {}

    def start(release: str) -> Endpoint:
        if release not in running:
            folder = tmp_path_factory.mktemp("releases") / release
            endpoint = Endpoint(folder, stock_python(f"globus-compute-endpoint=={release}"))
            endpoint.configure()
            running[release] = endpoint
            endpoint.start()
        return running[release]

    yield start
    for endpoint in running.values():
        endpoint.kill()


@pytest.mark.parametrize(("sdk", "endpoint"), PAIRS)
def test_a_pair_of_releases(sdk: str, endpoint: str, endpoint_of: EndpointOf, tmp_path: Path) -> None:
    where = endpoint_of(endpoint).id
    scripts = Sdk(tmp_path / "sdk", stock_python(f"globus-compute-sdk=={sdk}"))
    found = scripts.run("release.py", where, config={"engine": "ThreadPoolEngine"}, patience=400)
    expected = {name for name in found if sdk not in THEIRS.get(name, ())}
    assert {name: said for name, said in found.items() if name in expected and said != "ok"} == {}


def test_an_old_release_without_templates_is_told_what_it_needs(world: World, tmp_path: Path) -> None:
    if not os.environ.get("TEST_ALL_RELEASES"):
        pytest.skip("one of --all: globus-compute-endpoint 3.16.1 is installed for it")
    said = Endpoint(tmp_path / "old", stock_python("globus-compute-endpoint==3.16.1")).refused()
    assert "globus-compute-endpoint 3.16.1 without --multi-user" in said
    assert "Update it to 4.0" in said


def test_a_program_with_its_imports_changed_does_the_same_with_ours(world: World, tmp_path: Path) -> None:
    old = SCRIPTS / "release.py"
    found = find(old.read_text(), {})
    assert found.remarks == []
    (tmp_path / "release.py").write_text(found.apply(old.read_text()))
    shutil.copy(SCRIPTS / "work.py", tmp_path)
    config = {"engine": "ThreadPoolEngine"}
    ours = world.ours.start(str(tmp_path / "release.py"), world.endpoint.id, config=config)
    theirs = world.sdk.start("release.py", world.endpoint.id, config=config)
    assert answer(ours) == answer(theirs)
