"""How an endpoint finds its service."""

from __future__ import annotations

import pytest

from compute_executor.endpoint.agent import run
from compute_executor.endpoint.agent.run import locator
from compute_executor.endpoint.agent.service_link import ServicePlace
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.local.embedded import ServiceAddress


def test_the_local_service_is_started_once_and_looked_for_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have ended while a slow engine started; later an endpoint does not keep it from ending."""
    started: list[ServiceAddress] = []

    def start() -> ServiceAddress:
        started.append(ServiceAddress("http://127.0.0.1:5", "token", "i"))
        return started[-1]

    monkeypatch.setattr(run, "find_or_start", start)
    monkeypatch.setattr(run, "find", lambda: None)
    locate = locator(EndpointSettings())
    assert locate() == ServicePlace("http://127.0.0.1:5", local=True)
    assert locate() is None
    assert len(started) == 1


def test_a_service_elsewhere_is_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_or_start", lambda: pytest.fail("it is elsewhere"))
    assert locator(EndpointSettings(url="https://x", certificate="ca.pem"))() == ServicePlace(
        "https://x", "ca.pem"
    )
