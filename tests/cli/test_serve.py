"""`serve`: what it takes from command line and environment; and a service whose users log in with Globus Auth."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from compute_executor import Client, Executor
from compute_executor.errors import LoginUnavailable, NotAuthorized, NotFound
from compute_executor.local.state import LOG, read_announcement
from compute_executor.service.auth.globus_auth.registration import CLIENT_ID, CLIENT_SECRET, AppRegistration
from compute_executor.service.process.run import ServiceSettings
from tests.cli.conftest import Command
from tests.service.auth.globus_auth.conftest import (
    ALICES,
    BOB,
    BOBS,
    OURS,
    SWEEPER,
    SWEEPER_SECRET,
    TEAM,
    Fauxbus,
    fauxbus,
)

__all__ = ["fauxbus"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ServiceSettings]:
    """What would have been run."""
    found: list[ServiceSettings] = []

    def run(settings: ServiceSettings, starter: object) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr("compute_executor.service.process.run.run", run)
    return found


@pytest.mark.parametrize("mode", ["globus", "local"])
def test_the_registration_is_taken_from_the_environment_and_out_of_it(
    command: Command, started: list[ServiceSettings], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv(CLIENT_ID, OURS.client_id)
    monkeypatch.setenv(CLIENT_SECRET, OURS.client_secret)
    assert command("serve", "--auth", mode).exit_code == 0
    wanted: AppRegistration | None = OURS if mode == "globus" else None
    assert started[0].globus == wanted
    assert "canary" not in repr(started[0])
    assert CLIENT_SECRET not in os.environ


def test_without_one_it_says_what_is_missing(command: Command, started: list[ServiceSettings]) -> None:
    result = command("serve", "--auth", "globus")
    assert (result.exit_code, started) == (2, [])
    assert f"needs {CLIENT_ID} and {CLIENT_SECRET}" in result.output


def test_whoever_typed_it_is_told_why_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "compute_executor",
            "serve",
            "--port",
            port,
            "--state",
            str(tmp_path / "state"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot serve: cannot listen on 127.0.0.1 port {port}" in done.stderr


@pytest.fixture
def served(fauxbus: Fauxbus, tmp_path: Path) -> Iterator[str]:
    """The URL of `compute-executor serve --auth globus` in a process of its own."""
    state = tmp_path / "state"
    environ = {**os.environ, CLIENT_ID: OURS.client_id, CLIENT_SECRET: OURS.client_secret}
    options = {"auth": "globus", "port": "0", "state": str(state), "durability": "process"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments.append("--trust-all-users")
    with subprocess.Popen(
        [sys.executable, "-m", "compute_executor", "serve", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            while (found := read_announcement(state)) is None:
                assert process.poll() is None
                time.sleep(0.02)
            yield found.url
        finally:
            process.terminate()
            said, _ = process.communicate()
    log = (state / LOG).read_text()
    assert "serving at" in log
    assert "serving at http://127.0.0.1:" in said
    assert "canary" not in said + log


@pytest.mark.slow
def test_it_is_looked_at_and_stopped_by_its_folder(served: str, command: Command, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    shown = command("status", "--state", state)
    assert shown.exit_code == 0
    assert served in shown.stdout
    assert f"{state}, survives the death of any process" in shown.stdout
    assert command("stop", "--state", state).stdout.startswith("Stopped")
    assert command("status", "--state", state).stdout.startswith("No service is running.")


def of(url: str, token: str, **options: Any) -> Client:
    return Client(base_url=url, authorizer=globus_sdk.AccessTokenAuthorizer(token), **options)


@pytest.mark.slow
def test_people_groups_and_clients_of_globus_auth(served: str, fauxbus: Fauxbus) -> None:
    def environment() -> str:
        import os

        return repr(dict(os.environ))

    login = globus_sdk.ConfidentialAppAuthClient(SWEEPER, SWEEPER_SECRET)
    sweeper = globus_sdk.ClientCredentialsAuthorizer(login, OURS.scope)
    with Client(base_url=served, authorizer=sweeper) as client, Executor(client=client) as executor:
        assert "canary" not in executor.submit(environment).result(30)
        assert executor.submit(pow, 2, 10).result(30) == 1024

    with of(served, ALICES) as alice, of(served, BOBS) as bob:
        function = alice.register_function(environment, group=TEAM)
        with pytest.raises(NotFound):
            bob.get_function(function)
        fauxbus.world.groups[TEAM].memberships[BOB].status = "active"
        with pytest.raises(NotFound):  # as it was decided a moment ago
            bob.get_function(function)
        with of(served, BOBS, force_login=True) as again:
            assert again.get_function(function)["group"] == TEAM
        fauxbus.world.tokens[ALICES].revoked = True
        with pytest.raises(NotAuthorized):
            of(served, ALICES, force_login=True)

    fauxbus.fail("/v2/oauth2/token/introspect", 503)
    answer = globus_sdk.BaseClient  # the answer itself, without our client's repetitions
    client_class = type("Plain", (answer,), {"service_name": "compute"})
    plain = client_class(base_url=served, authorizer=globus_sdk.AccessTokenAuthorizer("canary-new"))
    plain.retry_config.max_retries = 0
    with plain, pytest.raises(globus_sdk.GlobusAPIError) as caught:
        plain.get("/v2/version")
    assert (caught.value.http_status, caught.value.headers["Retry-After"]) == (503, "5")
    assert (caught.value.raw_json or {})["name"] == LoginUnavailable.__name__


def test_limits_of_the_file_and_of_the_command_line(
    command: Command, started: list[ServiceSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[limits]\nkeep = "7d"\nworkers = 8\n')
    monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(file))
    assert command("serve", "--limit", "workers=3", "--log-format", "json").exit_code == 0
    assert (started[0].limits.keep, started[0].limits.workers) == (7 * 86400.0, 3)
    assert started[0].log_as_json
    done = command("serve", "--limit", "worker=3")
    assert (done.exit_code, len(started)) == (2, 1)
    assert "did you mean workers?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--run-as", "accounts"], "give --auth token or --auth globus"),
        (["--run-as", "accounts", "--auth", "token", "--trust-all-users"], "exclude each other"),
        (["--run-as", "accounts", "--auth", "globus"], "give --run-as a file with a line"),
        (["--run-as", "/absent/file", "--auth", "token"], "cannot be read"),
    ],
)
def test_accounts_that_cannot_be_are_refused(
    command: Command,
    started: list[ServiceSettings],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    why: str,
) -> None:
    monkeypatch.setenv(CLIENT_ID, "an id")
    monkeypatch.setenv(CLIENT_SECRET, "a secret")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = command("serve", *arguments)
    assert (result.exit_code, started) == (2, [])
    assert why in " ".join(result.output.split())


def test_other_accounts_need_root(
    command: Command, started: list[ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_as = ["serve", "--run-as", "accounts", "--auth", "token"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = command(*run_as)
    assert (result.exit_code, started) == (2, [])
    assert "needs root" in result.output
    assert "uid 1000" in result.output
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command(*run_as)
    assert started[0].run_as is not None
