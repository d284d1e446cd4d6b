"""``doctor`` as a command, at services on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from compute_executor.cli import commands
from tests.hosted_service import HostedService, Scripted

ENDPOINT = "5a3c0e38-7a31-4f2c-9f0d-1f2d3c4b5a69"


@pytest.fixture
def service() -> Iterator[HostedService]:
    service = HostedService()
    yield service
    service.close()


def ask(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["doctor", *arguments])
    return result.exit_code, result.output


def test_a_service_that_speaks_as_the_hosted_one(
    service: HostedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "secret-canary")
    service.answers += [
        Scripted("/v2/endpoints", 200, []),
        Scripted(f"/v2/endpoints/{ENDPOINT}", 200, {"name": "e"}),
        Scripted(f"/v2/endpoints/{ENDPOINT}/status", 200, {"status": "online"}),
    ]
    code, said = ask("--url", service.url, "--token-variable", "A_TOKEN", "--endpoint", ENDPOINT)
    assert "speaks as it does" in said
    assert "lets us in" in said
    assert "broker: this service has none" in said
    assert "endpoint e: is online" in said
    assert "clocks: agree" in said
    assert "canary" not in said
    assert code == 0


def test_a_token_that_is_not_taken(service: HostedService) -> None:
    service.accepts = lambda token: False
    code, said = ask("--url", service.url)
    assert code == 1
    assert "log in again" in said


def test_a_broker_that_is_not_there(service: HostedService) -> None:
    service.queues = {"connection_url": "amqp://u:secret-canary@127.0.0.1:9/", "queue_prefix": "q"}
    service.answers.append(Scripted("/v2/endpoints", 200, []))
    _, said = ask("--url", service.url)
    assert "broker: amqp://127.0.0.1:9: " in said
    assert "polling" in said
    assert "canary" not in said


def test_nobody_there() -> None:
    code, said = ask("--url", "http://127.0.0.1:9")
    assert code == 1
    assert "is the service running" in said


def test_this_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ask()
    assert code == 0, said
    assert "stream: opens" in said
