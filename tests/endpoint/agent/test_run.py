"""How an endpoint finds its service."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor.endpoint.agent import run
from compute_executor.endpoint.agent.run import locator
from compute_executor.endpoint.agent.service_link import ServicePlace
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import InvalidRequest
from compute_executor.local.embedded import ServiceAddress
from tests.sdk.http.test_direct import self_signed


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


def test_a_service_elsewhere_is_never_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "find_or_start", lambda: pytest.fail("it is elsewhere"))
    certificate = str(self_signed(tmp_path)[0])
    assert locator(EndpointSettings(url="https://x", certificate=certificate))() == ServicePlace(
        "https://x", certificate
    )


def test_a_certificate_that_is_none_is_told_before_anything_starts(tmp_path: Path) -> None:
    """Not with each try to connect, in the log."""
    key = self_signed(tmp_path)[1]
    for wrong in (key, tmp_path / "absent.pem"):
        with pytest.raises(InvalidRequest, match=f"{wrong.name} cannot be used.*PEM"):
            locator(EndpointSettings(url="https://x", certificate=str(wrong)))
