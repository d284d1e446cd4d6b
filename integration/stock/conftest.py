"""RabbitMQ, our service and a stock endpoint, up once for all tests of this folder.

What cannot be installed skips them, and says so in the last lines.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.debian import CannotInstall
from integration.stock.broker import Broker, require_rabbitmq
from integration.stock.environment import stock_python
from integration.stock.peers import PORT, Endpoint, Sdk, Service


@dataclass
class World:
    """All peers."""

    broker: Broker
    service: Service
    endpoint: Endpoint
    sdk: Sdk
    folder: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        python = stock_python()
        require_rabbitmq()
    except CannotInstall as error:
        pytest.skip(str(error))
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"port {PORT}, the one that stock peers know, is taken by another program")
    folder = tmp_path_factory.mktemp("stock")
    broker = Broker(folder / "broker")
    service = Service(folder / "state", broker)
    endpoint = Endpoint(folder / "endpoint", python)
    try:
        broker.start()
        service.start()
        endpoint.configure()
        endpoint.start()
        yield World(broker, service, endpoint, Sdk(folder / "sdk", python), folder)
    finally:
        endpoint.stop()
        service.stop()
        broker.stop()


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Peers live as long as the session: what they leave is not this process's."""
