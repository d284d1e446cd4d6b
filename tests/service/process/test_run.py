"""A service process in the foreground: from its start to its end in order."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.sync.client import connect

from compute_executor import Client, Executor, __version__
from compute_executor.cli.local_service import ask
from compute_executor.errors import (
    ComputeError,
    FolderTaken,
    InvalidRequest,
    ServiceUnavailable,
    from_document,
)
from compute_executor.local.state import LOG, ServiceInfo, prepare_folder, read_announcement
from compute_executor.protocol import frames
from compute_executor.service.process import run
from compute_executor.service.process.server import bind

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def service(folder: Path, **settings: Any) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A service process, and what it reports of its start."""
    read, write = os.pipe()
    given = {"folder": folder, "ready": write, **settings}
    script = (
        "import sys; from pathlib import PosixPath;"
        "from compute_executor.service.process.run import ServiceSettings, run;"
        f"sys.exit(run(ServiceSettings(**{given!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", script], pass_fds=(write,), cwd=ROOT) as process:
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            report = json.loads(pipe.read() or b"null")
        try:
            yield process, report
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_folder(tmp_path / "state")
    return tmp_path / "state"


def announced(folder: Path) -> ServiceInfo:
    found = read_announcement(folder)
    assert found is not None
    return found


def reported(report: dict[str, Any]) -> ComputeError:
    return from_document(report["error"])


@pytest.mark.slow
def test_streams_are_told_that_it_ends(folder: Path) -> None:
    with service(folder) as (process, report):
        assert report == {"serving": True}
        found = announced(folder)
        url = found.url.replace("http", "ws") + "/v3/stream"
        with connect(
            url, additional_headers={"Authorization": f"Bearer {found.token}"}, proxy=None
        ) as stream:
            stream.send(msgspec.json.encode(frames.Hello(frames.PROTOCOL, __version__, "3.11")).decode())
            msgspec.json.decode(stream.recv(10), type=frames.Welcome)
            process.send_signal(signal.SIGTERM)
            last = stream.recv(10)
            assert isinstance(last, bytes)
            assert isinstance(msgspec.msgpack.decode(last, type=frames.ToClient), frames.Goodbye)
        assert process.wait(10) == 0
    assert read_announcement(folder) is None
    assert "ended in order" in (folder / LOG).read_text()


def can_listen_at(host: str) -> bool:
    try:
        bind(host, 0).close()
    except ComputeError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_answers_at_the_address_that_it_announces(folder: Path, host: str) -> None:
    if not can_listen_at(host):
        pytest.skip(f"this machine has no {host}")
    with service(folder, host=host):
        found = announced(folder)
        assert ask(found.url, found.token, "GET", "/v2/version")["compute_executor"] == __version__
        with Executor(client=Client(base_url=found.url, token=found.token)) as executor:
            assert executor.submit(pow, 2, 10).result(10) == 1024


@pytest.mark.slow
def test_one_service_a_folder(folder: Path) -> None:
    with service(folder), service(folder) as (second, report):
        error = reported(report)
        assert isinstance(error, FolderTaken)
        assert announced(folder).url in str(error)
        assert second.wait(10) == 1


@pytest.mark.slow
def test_a_port_that_is_taken_has_a_name(folder: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with service(folder, port=port) as (process, report):
            assert isinstance(reported(report), ServiceUnavailable)
            assert f"port {port}" in str(reported(report))
            assert process.wait(10) == 1


@pytest.mark.slow
def test_a_store_that_cannot_be_opened_is_named_with_the_room_there(folder: Path) -> None:
    (folder / "store.sqlite").touch(mode=0o600)
    (folder / "store.sqlite").write_bytes(b"no database" * 100)
    with service(folder) as (process, report):
        assert isinstance(reported(report), ServiceUnavailable)
        assert str(folder / "store.sqlite") in str(reported(report))
        assert "KiB free there" in str(reported(report))
        assert process.wait(10) == 1


def test_how_long_it_may_be_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run.IDLE)
    assert run._patience() == 60
    for text, seconds in {"": 60, "0": 0, "2.5": 2.5}.items():
        monkeypatch.setenv(run.IDLE, text)
        assert run._patience() == seconds
    for text in ("-1", "nan", "inf", "soon", "1 s"):
        monkeypatch.setenv(run.IDLE, text)
        with pytest.raises(InvalidRequest, match=run.IDLE):
            run._patience()
