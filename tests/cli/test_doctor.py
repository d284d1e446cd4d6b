"""``doctor`` as a command, at services on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from compute_executor import Executor
from compute_executor.cli import commands
from compute_executor.cli.chosen_service import ChosenService
from compute_executor.local import embedded
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


def test_an_endpoint_of_this_package_by_name_and_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(max_workers=1) as executor:
        executor.submit(pow, 1, 1).result(60)  # as long as it is there, so is its service
        address = embedded.find()
        assert address is not None
        monkeypatch.setenv("A_TOKEN", address.token)
        made = ChosenService(address.url, address.token).ask("PUT", "/v3/agents/hpc", {})
        for name in ("hpc", made["endpoint_id"]):
            code, said = ask("--url", address.url, "--token-variable", "A_TOKEN", "--endpoint", name)
            assert code == 1
            assert "endpoint hpc: is offline, with 0 open tasks" in said
            assert "compute-executor endpoint start hpc" in said
        code, said = ask("--url", address.url, "--token-variable", "A_TOKEN", "--endpoint", "nowhere")
        assert code == 1
        assert "there are: hpc" in said


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


def test_the_configuration_is_looked_at(
    service: HostedService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(file))
    service.answers += [Scripted("/v2/endpoints", 200, [])] * 5
    assert f"configuration: there is no {file}, and none is needed" in ask("--url", service.url)[1]
    file.write_text('[profiles.lab]\nurl = "http://x"\n')
    assert f"configuration: {file}, with profiles lab" in ask("--url", service.url)[1]
    for wrong, told in (
        ('[profiles.lab]\nurl = "http://x"\ntoken_file = "/nowhere"\n', "profile lab: /nowhere is not there"),
        ('[limits]\nkeap = "1d"\n', "there is no limit 'keap' (did you mean keep?)"),
        ('profile = "lab"\n', "there is no profile 'lab'"),
        ("profil = 3\n", "did you mean profile?"),
    ):
        file.write_text(wrong)
        code, said = ask("--url", service.url)
        assert told in said
        assert code == 1
