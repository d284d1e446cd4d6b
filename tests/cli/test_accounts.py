"""user, group, token, client: on a folder without a service, and one pass with a real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from compute_executor import Client, __version__
from compute_executor.cli import commands
from compute_executor.errors import NotAuthorized, NotFound, ServiceUnavailable
from compute_executor.local.state import LOG, read_announcement
from compute_executor.protocol import frames
from compute_executor.sdk.http import trust
from compute_executor.session.stream.websocket import connect as open_stream
from tests.sdk.http.test_direct import self_signed
from tests.service.server_fixture import running

Command = Callable[..., Result]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def do(command: Command, tmp_path: Path) -> Callable[..., str]:
    """Run a command on the folder; what it printed, or its error."""

    def run(*arguments: str) -> str:
        done = command(*arguments, "--state", str(tmp_path / "state"))
        assert done.exit_code == (2 if done.stderr else 0)
        return (done.stderr or done.stdout).strip()

    return run


def test_without_a_service(do: Callable[..., str]) -> None:
    ann, lab = do("user", "add", "ann"), do("group", "add", "lab")
    assert do("group", "join", "lab", "ann") == ""
    assert do("group", "list") == f"{lab}\tlab\tann"
    assert do("user", "list") == f"{ann}\tann"
    token = do("token", "new", "ann", "--expires", "30d")
    listed = do("token", "list")
    assert token not in listed
    assert "\tann\tuntil 2" in listed
    client_id, secret = do("client", "add", "ci").split()
    assert do("client", "list") == f"{client_id}\tci\tfor good"
    assert secret not in do("client", "list")
    do("token", "revoke", listed.split("\t")[0])
    assert do("token", "list") == ""
    do("group", "leave", "lab", "ann")
    do("group", "remove", "lab")
    do("client", "remove", "ci")
    do("user", "remove", "ann")
    assert do("user", "list") + do("group", "list") + do("client", "list") == ""


def test_wrong_input_is_told_in_a_line(do: Callable[..., str]) -> None:
    do("user", "add", "ann")
    assert do("user", "add", "ann") == "Error: the name 'ann' is taken"
    assert do("user", "remove", "bob") == "Error: there is no user 'bob'"
    assert do("group", "join", "lab", "ann") == "Error: there is no group 'lab'"
    assert "is no duration" in do("token", "new", "ann", "--expires", "soon")


def test_with_a_service_whose_certificate_nobody_vouches_for(
    do: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands find the service by its folder, so it needs no certificate to be known; users need one."""
    certificate = self_signed(tmp_path)
    with running(tmp_path / "state", certificate) as town:
        do("user", "add", "bob")
        token = do("token", "new", "bob")
        assert do("group", "add", "lab")
        assert do("group", "join", "lab", "bob") == ""
        assert do("user", "remove", "eve") == "Error: there is no user 'eve'"
        url = town.url.replace("127.0.0.1", "localhost")
        with Client(base_url=url, token=token) as bob:
            with pytest.raises(ServiceUnavailable, match=r"self.signed.*SSL_CERT_FILE"):
                bob.get_endpoints()
            with pytest.raises(ServiceUnavailable, match=r"self.signed.*SSL_CERT_FILE"):
                open_stream(url, "Bearer nobody's")
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
            assert bob.get_endpoints()
            open_stream(url, f"Bearer {token}").close()


@pytest.mark.slow
def test_with_a_service(do: Callable[..., str], tmp_path: Path) -> None:
    from globus_sdk import ConfidentialAppAuthClient

    folder = tmp_path / "state"
    ann_token = [do("user", "add", "ann"), do("token", "new", "ann")][1]
    code = "import sys; from compute_executor.cli import main; sys.argv[0] = 'compute-executor'; main()"
    serve = [
        "serve",
        "--auth",
        "token",
        "--trust-all-users",
        "--port",
        "0",
        "--durability",
        "process",
        "--state",
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, *serve], env=environment) as process:
        try:
            while (found := read_announcement(folder)) is None:
                assert process.poll() is None
            lab = do("group", "add", "lab")
            do("user", "add", "bob")
            bob_token = do("token", "new", "bob")
            with (
                Client(base_url=found.url, token=ann_token) as ann,
                Client(base_url=found.url, token=bob_token) as bob,
            ):
                do("group", "join", "lab", "ann")
                shared = ann.register_function(len, function_name="length", group=lab)
                with pytest.raises(NotFound):
                    bob.get_function(shared)
                do("group", "join", "lab", "bob")
                assert bob.get_function(shared)
                do("group", "leave", "lab", "bob")
                with pytest.raises(NotFound):
                    bob.get_function(shared)
            url = found.url.replace("http", "ws") + "/v3/stream"
            with connect(
                url, additional_headers={"Authorization": f"Bearer {bob_token}"}, proxy=None
            ) as stream:
                stream.send(msgspec.json.encode(frames.Hello(frames.PROTOCOL, __version__, "3.11")).decode())
                stream.recv(10)
                (row,) = [line for line in do("token", "list").splitlines() if "\tbob\t" in line]
                do("token", "revoke", row.split("\t")[0])
                with pytest.raises(ConnectionClosed):
                    stream.recv(10)
            with pytest.raises(NotAuthorized), Client(base_url=found.url, token=bob_token) as bob:
                bob.get_function(shared)
            client_id, secret = do("client", "add", "ci").split()
            login = ConfidentialAppAuthClient(client_id, secret, base_url=found.url)
            given = login.oauth2_client_credentials_tokens("openid").by_resource_server["auth.globus.org"]
            assert given["access_token"]
            log = (folder / LOG).read_text()
            assert not any(one in log for one in (ann_token, bob_token, secret, given["access_token"]))
            assert re.search(
                r"refused: bob \(.*\) at 127.0.0.1 may not read function, by GET /v2/functions/\*", log
            )
            assert "refused: somebody at 127.0.0.1 is not let in" in log
        finally:
            process.terminate()


def test_a_profile_brings_its_certificate(
    do: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with running(tmp_path / "state", certificate) as town:
        do("user", "add", "bob")
        (tmp_path / "token").write_text(do("token", "new", "bob"))
        url = town.url.replace("127.0.0.1", "localhost")
        file = tmp_path / "config.toml"
        file.write_text(
            f'[profiles.lab]\nurl = "{url}"\ntoken_file = "{tmp_path}/token"\ncertificate = "{certificate[0]}"\n'
        )
        monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(file))
        monkeypatch.setattr(trust, "_certificates", {})
        with Client(profile="lab") as bob:
            assert bob.get_endpoints()
            open_stream(url, bob.authorization() or "").close()
        assert "No task groups" in CliRunner().invoke(commands, ["groups", "--profile", "lab"]).output
