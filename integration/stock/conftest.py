"""RabbitMQ, our service and a stock endpoint, up once for all tests of this folder.

What cannot be installed skips them, and says so in the last lines.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration.debian import CannotInstall
from integration.stock import processes
from integration.stock.broker import Broker, require_rabbitmq
from integration.stock.environment import stock_python
from integration.stock.peers import OWN_ENDPOINT, PORT, Endpoint, Sdk, Service, answer

ENGINES = ("ThreadPoolEngine", "ProcessPoolEngine", "GlobusComputeEngine")


@dataclass
class World:
    """All peers."""

    broker: Broker
    service: Service
    endpoint: Endpoint
    sdk: Sdk
    ours: Sdk
    folder: Path

    @classmethod
    def installed(cls, folder: Path) -> World:
        """Their files in ``folder``, what they need installed, nothing started. Raises CannotInstall."""
        python = stock_python()
        require_rabbitmq()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                raise CannotInstall(
                    f"port {PORT}, the one that stock peers know, is taken by another program"
                )
        processes.adopt_orphans()
        broker = Broker(folder / "broker")
        return cls(
            broker,
            Service(folder / "state", broker),
            Endpoint(folder / "endpoint", python),
            Sdk(folder / "sdk", python),
            Sdk.ours(folder / "ours"),
            folder,
        )

    def start(self) -> None:
        """Have all of them up."""
        with ThreadPoolExecutor(1) as beside:
            configured = beside.submit(self.endpoint.configure)
            self.broker.start()
            self.service.start()
            configured.result()
        self.endpoint.start()

    def stop(self) -> None:
        """End all of them. What they leave behind fails the tests."""
        self.endpoint.kill()
        self.service.stop()
        self.broker.stop()
        left = [processes.words(one) for one in processes.left()]
        processes.kill(lambda: processes.below(os.getpid()))
        assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        world = World.installed(tmp_path_factory.mktemp("stock"))
    except CannotInstall as error:
        pytest.skip(str(error))
    try:
        world.start()
        yield world
    finally:
        world.stop()


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Peers live as long as the session: what they leave is looked at when it ends."""


@dataclass
class Runs:
    """Scripts that only wait, for limits of the stock SDK and for user endpoints to start: all under way at once.

    ``ours``: what our client has registered and run before them; names of the scripts: see `runs`.
    """

    ours: dict[str, str]
    scripts: dict[str, subprocess.Popen[str]]

    def found(self, name: str) -> dict[str, Any]:
        """What a script has found out."""
        found: dict[str, Any] = answer(self.scripts[name])
        return found

    def end(self) -> None:
        """End those that nobody has asked."""
        for one in self.scripts.values():
            if one.poll() is None:
                one.kill()
            one.communicate()


@pytest.fixture(scope="session")
def runs(world: World) -> Iterator[Runs]:
    ours = world.ours.run("ours_registers.py", world.endpoint.id)
    sdk, theirs = world.sdk, (ours["function"], ours["task"])
    scripts = {
        engine: sdk.start("basics.py", world.endpoint.id, config={"engine": engine}) for engine in ENGINES
    }
    scripts["ours"] = world.ours.start("ours.py", world.endpoint.id, config={"name": "ours"})
    scripts["own endpoint"] = sdk.start("basics.py", OWN_ENDPOINT, "as-shipped")
    scripts["client"] = sdk.start("by_client.py", world.endpoint.id, *theirs)
    scripts["client, own endpoint"] = sdk.start("by_client.py", OWN_ENDPOINT, *theirs)
    runs = Runs(ours, scripts)
    yield runs
    runs.end()
