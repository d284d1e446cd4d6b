"""Functions in containers of images, by the Client and the Executor, with podman for real."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

from compute_executor import Client, ContainerSpec, Executor
from compute_executor.endpoint.environments import images
from compute_executor.endpoint.environments.recipes import OWN_PYTHON, Recipe
from compute_executor.errors import InvalidRequest, PoolBroken, TaskPending, TaskTimeout, WorkerLost
from compute_executor.local import state
from integration.containers.conftest import IMAGE, SIX, Podman
from tests.http_requests import shut_down

PATIENCE = 60.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ImportWarning"),  # of six: workers have the filters of the test
]


@pytest.fixture(autouse=True)
def by_value() -> Iterator[None]:
    """The functions of this module travel as those of a script do: images do not have the module."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture
def client(configured: Podman) -> Iterator[Client]:
    with Client() as client:
        yield client
        shut_down(client)


@pytest.fixture
def image(client: Client) -> str:
    return client.register_container(IMAGE, "podman", name="six")


def look() -> tuple[str, bool, bool]:
    """The version of six, whether this is a container, whether the host's packages can be imported."""
    import importlib.util
    import os

    import six

    return six.__version__, os.path.exists("/run/.containerenv"), bool(importlib.util.find_spec("msgspec"))


def die() -> None:
    """By a signal that nothing can catch."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def result(client: Client, task: str) -> Any:
    """Of a task, when it has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return client.get_result(task)
        except TaskPending:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def containers(podman: Podman) -> list[str]:
    return podman.run("ps", "--quiet").stdout.split()


def test_a_function_for_an_image_and_a_call_in_one(client: Client, image: str, configured: Podman) -> None:
    assert client.get_container(image, "podman")["location"] == IMAGE
    function = client.register_function(look, container_uuid=image)
    endpoint = client.get_endpoints()[0]["uuid"]
    assert result(client, client.run(endpoint_id=endpoint, function_id=function)) == (SIX, True, False)
    assert client.get_container_build_status(image) == "ready"
    with Executor(max_workers=2) as executor:
        inside = executor.options(container=image)
        assert inside.submit(look).result(PATIENCE) == (SIX, True, False)
        assert list(inside.map(abs, range(-300, 0))) == list(range(300, 0, -1))
        assert inside.submit(bytes, 3_000_000).result(PATIENCE) == bytes(3_000_000)
        assert executor.submit(os.path.exists, "/run/.containerenv").result(PATIENCE) is False
        assert client.get_container_build_status(image) == "ready"


def test_what_goes_wrong_inside_is_told_as_outside(client: Client, image: str) -> None:
    with Executor(max_workers=1) as executor:
        inside = executor.options(container=image)
        with pytest.raises(ZeroDivisionError):
            inside.submit(divmod, 1, 0).result(PATIENCE)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            inside.submit(die).result(PATIENCE)
        with pytest.raises(TaskTimeout):
            inside.options(timeout=0.5).submit(time.sleep, 60).result(PATIENCE)
        assert inside.submit(abs, -1).result(PATIENCE) == 1


def test_the_function_of_a_container_dies_with_its_service(
    client: Client, image: str, configured: Podman
) -> None:
    with Executor(max_workers=1) as executor:
        future = executor.options(container=image).submit(time.sleep, 600)
        until(future.running)
        assert len(containers(configured)) == 1
        os.kill(_service(), signal.SIGKILL)
        until(lambda: not containers(configured))
        with pytest.raises(WorkerLost):
            future.result(PATIENCE)
        assert executor.options(container=image).submit(abs, -1).result(PATIENCE) == 1


def _service() -> int:
    announced = json.loads((state.state_folder() / state.ANNOUNCEMENT).read_text())
    return int(announced["pid"])


def test_nothing_is_left_when_the_executor_has_ended(client: Client, image: str, configured: Podman) -> None:
    with Executor(max_workers=2) as executor:
        assert executor.options(container=image).submit(abs, -1).result(PATIENCE) == 1
    until(lambda: not containers(configured))


def test_an_image_is_built_on_another(
    client: Client, configured: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base that a registry would give is the image of these tests; pip reaches the index from inside."""
    monkeypatch.setenv(images.BASE, IMAGE)
    shut_down(client)  # the next service has that variable
    until(lambda: not _alive())
    container = client.build_container(ContainerSpec(), container_type="podman")
    with Executor(max_workers=1) as executor:
        assert (
            executor.options(container=container)
            .submit(os.path.exists, "/run/.containerenv")
            .result(PATIENCE)
        )
    assert client.get_container_build_status(container) == "ready"
    assert f"FROM {IMAGE}" in client.get_container_build_log(container)
    configured.run("rmi", "--force", images.tag(Recipe("podman", OWN_PYTHON)))


def _alive() -> bool:
    from compute_executor.local import embedded

    return embedded.find() is not None


def test_images_that_cannot_be_used(client: Client, image: str) -> None:
    gone = client.register_container(f"localhost/{uuid.uuid4().hex}:1", "docker")
    with Executor(max_workers=1) as executor:
        with pytest.raises(PoolBroken, match=r"cannot be used: (podman|docker) ended with"):
            executor.options(container=gone).submit(abs, -1).result(PATIENCE)
        assert executor.options(container=image).submit(abs, -1).result(PATIENCE) == 1
    assert client.get_container_build_status(gone) == "failed"
    with pytest.raises(InvalidRequest, match=r"cannot run apptainer images.*podman images"):
        client.register_container("image.sif", "apptainer")
