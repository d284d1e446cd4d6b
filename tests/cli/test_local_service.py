from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest

from compute_executor.cli import local_service
from compute_executor.cli.local_service import LocalService, ended, running
from compute_executor.errors import NotAuthorized, ServiceUnavailable
from compute_executor.local.embedded import ServiceAddress
from compute_executor.local.state import SERVICE_LOCK, ServiceInfo, prepare_folder, state_folder


class Answers(BaseHTTPRequestHandler):
    """Answers by path; the token must be there."""

    def do_GET(self) -> None:
        bodies = {
            "/ok": (200, b'{"a": 1}'),
            "/no": (401, b'{"name": "NotAuthorized", "reason": "no"}'),
            "/bad": (200, b"x"),
        }
        status, body = bodies[self.path]
        assert self.headers["Authorization"] == "Bearer secret"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def service() -> Iterator[LocalService]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield LocalService(
        ServiceAddress(f"http://127.0.0.1:{server.server_port}", "secret", "i"), 1, Path("/state")
    )
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_answers_with_documents_and_errors(service: LocalService) -> None:
    assert service.ask("GET", "/ok") == {"a": 1}
    with pytest.raises(NotAuthorized, match="no"):
        service.ask("GET", "/no")
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        service.ask("GET", "/bad")


def test_one_that_has_gone_is_unavailable() -> None:
    gone = LocalService(ServiceAddress("http://127.0.0.1:9", "secret", "i"), 1, Path("/state"))
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        gone.ask("GET", "/ok")


def test_none_is_found_where_none_runs() -> None:
    assert running() is None
    assert ended(state_folder())


def test_one_that_holds_its_lock_but_is_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_service, "PATIENCE", 0.0)
    folder = state_folder()
    prepare_folder(folder)
    (folder / SERVICE_LOCK).touch(0o600)
    with (folder / SERVICE_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not ended(folder)
        with pytest.raises(click.ClickException, match="a process is the service but does not answer"):
            running()


def test_one_that_begins_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    info = ServiceInfo("http://127.0.0.1:9", "secret", "i", 4711)
    looks: list[ServiceInfo | None] = [None, info]
    monkeypatch.setattr(local_service, "living", lambda _folder: looks[0])
    monkeypatch.setattr(local_service, "is_held", lambda _lock: True)
    monkeypatch.setattr(local_service, "_answers", lambda _announced: True)
    monkeypatch.setattr("time.sleep", lambda _seconds: looks.pop(0))
    found = running()
    assert found is not None
    assert found.pid == info.pid
    assert looks == [info]


def test_one_that_ends_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [True, True, False]
    monkeypatch.setattr(local_service, "living", lambda _folder: None)
    monkeypatch.setattr(local_service, "is_held", lambda _lock: held.pop(0))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    assert running() is None
    assert held == []


def test_files_of_others_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: object) -> None:
        raise NotAuthorized("service.json is readable by others")

    monkeypatch.setattr(local_service, "living", refuse)
    with pytest.raises(click.ClickException, match="readable by others"):
        running()
