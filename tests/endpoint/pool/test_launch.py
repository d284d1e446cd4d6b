"""Workers in environments: by the real engine; containers by a program that only pretends to make them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.endpoint.pool.launch import INSIDE, PACKAGE, START, launch
from compute_executor.protocol.frames import Reason
from compute_executor.serialization import native
from compute_executor.surroundings import wire_text
from tests.endpoint.conftest import PATIENCE, Scenario, Script, spec
from tests.endpoint.programs import Programs, programs
from tests.endpoint.tasks import POOL

__all__ = ["programs"]


def experiment(scenario: Scenario, folder: Path, environment: Environment, **fields: Any) -> Script:
    """A scenario with one pool in an environment."""
    for name in ("blobs", "rings"):
        (folder / name).mkdir(exist_ok=True)

    async def run() -> Script:
        script = Script()
        script.folder = folder
        script.engine = ProcessEngine(script, blob_folder=folder / "blobs", ring_folder=folder / "rings")
        script.engine.open(POOL, spec(**fields), environment)
        try:
            await asyncio.wait_for(scenario(script), 2 * PATIENCE)
        finally:
            await script.engine.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return script

    return asyncio.run(run())


@pytest.fixture
def venv(tmp_path: Path) -> Environment:
    """Where the environment of a test lies; its interpreter is ours, so nothing has to be built."""
    bin_folder = tmp_path / "environments" / "digest" / "attempt-1" / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    python = bin_folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    payload = tmp_path / "payload"
    payload.mkdir()
    (payload / "given.py").write_text("answer = 42\n")
    return Environment(str(python), "3.11", path=(str(payload),))


@pytest.fixture
def image(programs: Programs) -> Environment:
    return Environment("python3", "", "here", str(programs.add_runtime()))


def test_a_worker_in_an_environment(venv: Environment, tmp_path: Path) -> None:
    def look(x: int) -> Any:
        import sys

        import given  # type: ignore[import-not-found]

        return x + given.answer, sys.path, __import__("os").environ.get("VIRTUAL_ENV")

    async def scenario(script: Script) -> None:
        value, path, home = await script.run(look, 1)
        assert value == 43
        assert (path[-2], home) == (str(tmp_path), str(Path(venv.python).parent.parent))
        assert not any(entry.startswith(str(PACKAGE)) for entry in path)

    experiment(
        scenario, tmp_path, venv, path=[str(tmp_path), "/x/site-packages", "/y"], environ={"PYTHONPATH": "/z"}
    )
    link = tmp_path / "environments" / "links" / PACKAGE.name
    assert link.resolve() == PACKAGE


def test_our_package_may_move(venv: Environment, tmp_path: Path) -> None:
    async def scenario(script: Script) -> None:
        assert await script.run(abs, -1) == 1

    links = tmp_path / "environments" / "links"
    links.mkdir()
    (links / PACKAGE.name).symlink_to("/no/longer/there")
    experiment(scenario, tmp_path, venv)


def test_a_function_of_another_pythons_bytecode_is_refused(venv: Environment, tmp_path: Path) -> None:
    async def scenario(script: Script) -> None:
        assert await script.run(abs, -1) == 1
        with pytest.raises(
            Exception, match=r"^this function was compiled by Python 3\.77, and this environment"
        ):
            await script.run(lambda: 1)

    experiment(scenario, tmp_path, venv, python_version="3.77")


def test_a_worker_in_a_container(image: Environment, programs: Programs, tmp_path: Path) -> None:
    def large() -> bytes:
        print("from inside")
        return bytes(200_000)

    async def scenario(script: Script) -> None:
        position = script.submit(large)
        script.wake()
        assert await script.result(position) == bytes(200_000)
        await script.until(lambda: script.texts)
        assert script.texts == {position: b"from inside\n"}

    experiment(scenario, tmp_path, image)
    (run,) = [call for call in programs.calls() if call.startswith("podman run")]
    assert f"source={PACKAGE},target={INSIDE}/{PACKAGE.name},readonly" in run
    assert f"source={tmp_path}/blobs,target={tmp_path}/blobs --" in run
    assert "HOME" not in run


def test_a_worker_that_dies_in_its_container(image: Environment, tmp_path: Path) -> None:
    def die() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    async def scenario(script: Script) -> None:
        position = script.submit(die)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert script.losses[position].exit_code == -9
        assert await script.run(abs, -1) == 1

    experiment(scenario, tmp_path, image)


def test_a_task_in_a_container_that_takes_too_long(image: Environment, tmp_path: Path) -> None:
    def sleep() -> None:
        import time

        time.sleep(60)

    async def scenario(script: Script) -> None:
        position = script.submit(sleep, walltime=0.2)
        script.wake()
        assert isinstance(await script.result(position), Reason)

    experiment(scenario, tmp_path, image)


def test_closing_stops_what_runs_in_a_container(image: Environment, tmp_path: Path) -> None:
    def sleep() -> None:
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)

    async def scenario(script: Script) -> None:
        position = script.submit(sleep)
        script.wake()
        await script.until(lambda: position in script.begun)

    script = experiment(scenario, tmp_path, image)
    assert "was stopped" in script.losses[1].message


def test_a_runtime_that_fails_breaks_the_pool_with_its_words(programs: Programs, tmp_path: Path) -> None:
    broken = programs.add("podman", "#!/bin/sh\necho 'Error: crun: no such file python3' >&2\nexit 127\n")

    async def scenario(script: Script) -> None:
        await script.until(lambda: script.troubles)
        assert "no such file python3" in script.troubles[0]

    experiment(scenario, tmp_path, Environment("python3", "", "here", str(broken)))


def test_a_runtime_that_cannot_be_run_breaks_the_pool(tmp_path: Path) -> None:
    async def scenario(script: Script) -> None:
        await script.until(lambda: script.troubles)
        assert "workers cannot start" in script.troubles[0]

    experiment(scenario, tmp_path, Environment("python3", "", "here", "/no/such/podman"))


def test_an_initializer_runs_inside(image: Environment, tmp_path: Path) -> None:
    def prepare() -> None:
        import builtins

        builtins.prepared = True  # type: ignore[attr-defined]

    def look() -> bool:
        import builtins

        return builtins.prepared  # type: ignore[attr-defined,no-any-return]

    async def scenario(script: Script) -> None:
        assert await script.run(look)

    experiment(scenario, tmp_path, image, initializer=native.dumps_call((prepare, ()), {}))


def test_options_of_the_callers_interpreter_go_to_workers_but_not_all_into_an_environment(
    tmp_path: Path,
) -> None:
    options = ["-O", "-I", "-Wignore"]
    made = launch(spec(interpreter=options), None, "")
    assert made.way is not None
    assert made.way[0] == [sys.executable, *options, START]
    python = tmp_path / "environments" / "1" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    inside = launch(spec(interpreter=options), Environment(str(python), "3.12"), "")
    assert inside.way is not None
    assert inside.way[0][1:-1] == ["-O", "-Wignore"]


def test_paths_and_variables_that_are_not_utf8_are_themselves_again() -> None:
    odd = "caf\udce9"
    made = launch(spec(cwd=wire_text(f"/{odd}"), environ={wire_text(odd): wire_text(odd)}), None, "")
    assert made.way is not None
    assert made.way[1:] == (f"/{odd}", {odd: odd})
