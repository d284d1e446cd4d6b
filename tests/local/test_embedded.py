"""Finding and starting the local service, with real processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor import system
from compute_executor.errors import InvalidRequest, NotAuthorized, ServiceUnavailable
from compute_executor.local import embedded
from compute_executor.local.embedded import ServiceAddress, find, find_or_start
from compute_executor.local.locks import is_held, locked
from compute_executor.local.state import (
    ANNOUNCEMENT,
    DATABASE,
    LOG,
    SERVICE_LOCK,
    START_LOCK,
    ServiceInfo,
    prepare_folder,
    read_announcement,
    state_folder,
    write_announcement,
)
from compute_executor.serialization import native, packing
from compute_executor.service.endpoints.ids import BUILT_IN

PATIENCE = 10.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_service_stays() -> Iterator[None]:
    yield
    with contextlib.suppress(NotAuthorized):
        end(signal.SIGKILL)


def folder() -> Path:
    return state_folder()


def service_pid() -> int:
    announced = read_announcement(folder())
    assert announced is not None
    return announced.pid


def end(how: signal.Signals) -> None:
    """Signal the service that is announced, if it lives, and wait until it is gone."""
    if read_announcement(folder()) is not None and is_held(folder() / SERVICE_LOCK):
        os.kill(service_pid(), how)
        wait_until_gone()


def wait_until_gone() -> None:
    with locked(folder() / SERVICE_LOCK, time.monotonic() + PATIENCE):
        pass


def log_text() -> str:
    return (folder() / LOG).read_text()


def get(address: ServiceAddress, path: str, method: str = "GET") -> int:
    connection = http.client.HTTPConnection(address.url.removeprefix("http://"), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Authorization": f"Bearer {address.token}"})
        return connection.getresponse().status


def post(address: ServiceAddress, path: str, document: object) -> Any:
    connection = http.client.HTTPConnection(address.url.removeprefix("http://"), timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(document), headers)
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())


# -- one service --------------------------------------------------------------------------------------------


def test_the_first_starts_it_and_the_next_finds_it() -> None:
    assert find() is None
    first = find_or_start()
    assert find() == find_or_start() == first
    assert get(first, "/v2/version") == 200
    assert first.token not in repr(first)
    assert first.token not in log_text()
    assert stat.S_IMODE((folder() / ANNOUNCEMENT).stat().st_mode) == 0o600


@pytest.mark.slow
def test_ten_at_once_end_with_one_service() -> None:
    script = "from compute_executor.local.embedded import find_or_start as f; input(); print(f().instance)"
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(10)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()
    instances = [starter.communicate(timeout=60)[0] for starter in starters]
    assert len(set(instances)) == 1
    assert {starter.returncode for starter in starters} == {0}
    assert log_text().count("serving at") == 1


@pytest.mark.slow
def test_killed_it_is_started_again_on_the_same_store() -> None:
    first = find_or_start()
    database = (folder() / DATABASE).stat().st_ino
    end(signal.SIGKILL)
    assert (folder() / ANNOUNCEMENT).exists()
    assert find() is None
    second = find_or_start()
    assert second.instance != first.instance
    assert second.token != first.token
    assert (folder() / DATABASE).stat().st_ino == database
    assert get(second, "/v2/version") == 200


def test_a_starter_that_was_killed_hinders_nobody() -> None:
    """Its service takes service.lock, then announces itself; the next starter waits for that."""
    prepare_folder(folder())
    script = (
        "import sys; from compute_executor.local import embedded;"
        "embedded._read_report = lambda *_: __import__('os')._exit(9);"  # gone as soon as it has started one
        "embedded.find_or_start()"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == 9
    assert get(find_or_start(), "/v2/version") == 200
    assert log_text().count("serving at") == 1


@pytest.mark.slow
def test_what_was_accepted_before_a_kill_ends_after_it() -> None:
    first = find_or_start()
    code = packing.function_from_source("f", "def f(x): return x")
    registration = {"function_name": "f", "function_code": packing.function_to_text(code)}
    function_id = post(first, "/v3/functions", registration)["function_uuid"]
    calls = [packing.call_to_text(native.dumps_call((number,), {})) for number in range(50)]
    answer = post(first, f"/v3/endpoints/{BUILT_IN}/submit", {"tasks": {function_id: calls}})
    end(signal.SIGKILL)
    second = find_or_start()
    ids = answer["tasks"][function_id]
    deadline = time.monotonic() + PATIENCE
    results: dict[str, dict[str, str]] = {}
    while time.monotonic() < deadline and not ended(results):
        results = post(second, "/v2/batch_status", {"task_ids": ids})["results"]
        threading.Event().wait(0.05)
    assert ended(results)
    for number, task_id in enumerate(ids):
        if results[task_id]["status"] == "success":  # the others had begun when the service was killed
            assert native.loads(packing.result_from_text(results[task_id]["result"])) == number
        else:
            assert "began" in results[task_id]["reason"] or "lost" in results[task_id]["reason"]
    assert [result["status"] for result in results.values()].count("success") >= 40


def ended(results: dict[str, dict[str, str]]) -> bool:
    return bool(results) and all(result["status"] in ("success", "failed") for result in results.values())


# -- a process of its own -----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_it_holds_nothing_of_its_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asyncio.py").write_text("raise SystemExit('a module of the caller')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with socket.socket() as ours, (tmp_path / "open").open("w") as file:
        ours.set_inheritable(True)
        os.set_inheritable(file.fileno(), True)
        find_or_start()
        pid = service_pid()
        held = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        mine = {os.readlink(f"/proc/self/fd/{number}") for number in (ours.fileno(), file.fileno())}
    assert not held & mine
    assert not [name for name in held if name.startswith(("/dev/pts", "/dev/tty"))]
    assert os.readlink(f"/proc/{pid}/cwd") == str(folder())
    assert os.getsid(pid) not in (os.getsid(0), pid)
    assert os.getpgid(pid) != os.getpgid(0)
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    announced = read_announcement(folder())
    assert announced is not None
    assert announced.token.encode() not in arguments


def test_its_starter_has_no_child_to_reap() -> None:
    find_or_start()
    with pytest.raises(ChildProcessError):
        os.waitpid(service_pid(), os.WNOHANG)


# -- its end ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "route"])
def test_told_to_end_it_ends_in_order(how: str) -> None:
    address = find_or_start()
    if how == "route":
        assert get(address, "/v3/shutdown", "POST") == 200
    else:
        os.kill(service_pid(), getattr(signal, how))
    wait_until_gone()
    assert not (folder() / ANNOUNCEMENT).exists()
    assert log_text().rstrip().endswith("ended in order")
    assert find() is None


@pytest.mark.slow
def test_idle_it_ends_by_itself_and_the_next_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "0.2")
    first = find_or_start()
    wait_until_gone()
    assert not (folder() / ANNOUNCEMENT).exists()
    assert "idle for 0.2 s" in log_text()
    assert find_or_start().instance != first.instance


@pytest.mark.slow
def test_whoever_asks_while_it_ends_gets_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "0.05")
    instances = set()
    for turn in range(10):
        instances.add(find_or_start().instance)
        threading.Event().wait(0.06 + 0.01 * turn)
    assert log_text().count("serving at") >= len(instances) > 1
    assert "Traceback" not in log_text()


@pytest.mark.slow
def test_a_service_whose_folder_is_gone_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "0.2")
    find_or_start()
    pid = service_pid()
    shutil.rmtree(folder())
    deadline = time.monotonic() + PATIENCE
    while alive(pid) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert not alive(pid)


@pytest.mark.slow
def test_asked_for_again_and_again_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "0.5")
    first = find_or_start()
    for _ in range(12):
        threading.Event().wait(0.1)
        assert find_or_start() == first


# -- trouble ------------------------------------------------------------------------------------------------


def fake_python(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


def test_what_the_service_says_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "soon")
    with pytest.raises(InvalidRequest, match="COMPUTE_EXECUTOR_IDLE='soon' is no number of seconds"):
        find_or_start()
    wait_until_gone()


def test_a_damaged_database_is_named() -> None:
    prepare_folder(folder())
    (folder() / DATABASE).write_bytes(b"no database" * 1000)
    (folder() / DATABASE).chmod(0o600)
    with pytest.raises(ServiceUnavailable, match=f"{folder() / DATABASE}"):
        find_or_start()


def test_one_that_dies_while_starting_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_folder(folder())
    (folder() / LOG).write_text("of an earlier run\n")
    (folder() / LOG).chmod(0o600)
    fake_python(tmp_path / "python", "echo this went wrong >&2; exit 3", monkeypatch)
    with pytest.raises(ServiceUnavailable, match=r"(?m)died while starting.*\nthis went wrong$") as caught:
        find_or_start()
    assert "earlier" not in str(caught.value)
    assert str(folder() / LOG) in str(caught.value)


def test_one_that_says_nothing_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.3)
    fake_python(tmp_path / "python", "sleep 60 & echo $! > " + str(tmp_path / "pid") + "; wait", monkeypatch)
    with pytest.raises(ServiceUnavailable, match="not up within"):
        find_or_start()
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and alive(pid):
        threading.Event().wait(0.01)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("executable", ["", None, "/no/such/python"])
def test_without_an_interpreter_there_is_none_to_start(
    executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ServiceUnavailable, match=r"sys\.executable|/no/such/python"):
        find_or_start()


def test_a_holder_of_the_lock_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.2)
    prepare_folder(folder())
    with locked(folder() / SERVICE_LOCK, time.monotonic()):
        with pytest.raises(ServiceUnavailable, match=f"a process holds {folder() / SERVICE_LOCK}"):
            find_or_start()
        write_announcement(folder(), ServiceInfo("http://127.0.0.1:1", "token", "i", 4242))
        with pytest.raises(ServiceUnavailable, match="process 4242 holds"):
            find_or_start()


def test_a_starter_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.1)
    prepare_folder(folder())
    with (
        locked(folder() / START_LOCK, time.monotonic()),
        pytest.raises(ServiceUnavailable, match=f"it holds {folder() / START_LOCK}"),
    ):
        find_or_start()


def test_a_token_file_that_others_may_read_is_not_used() -> None:
    prepare_folder(folder())
    write_announcement(folder(), ServiceInfo("http://127.0.0.1:1", "token", "i", 4242))
    (folder() / ANNOUNCEMENT).chmod(0o644)
    with pytest.raises(NotAuthorized, match=f"chmod 600 {folder() / ANNOUNCEMENT}"):
        find_or_start()


def test_a_folder_that_others_may_open_is_not_used() -> None:
    find_or_start()
    folder().chmod(0o755)
    with pytest.raises(NotAuthorized, match=f"chmod 700 {folder()}"):
        find_or_start()
    folder().chmod(0o700)


def test_a_stranger_on_the_port_is_not_it_and_is_not_told_the_token() -> None:
    """The port of a dead service may be anybody's: without a holder of its lock nobody is asked."""
    prepare_folder(folder())
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0.2)
        port = stranger.getsockname()[1]
        write_announcement(folder(), ServiceInfo(f"http://127.0.0.1:{port}", "token", "i", 4242))
        (folder() / SERVICE_LOCK).touch(mode=0o600)
        assert find() is None
        with pytest.raises(TimeoutError):
            stranger.accept()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 401 Unauthorized\r\n\r\ninstance-i",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_an_answer_of_somebody_else_is_none(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        assert not embedded._answers(ServiceInfo(f"http://127.0.0.1:{port}", "token", "instance-i", 1))
        thread.join()
    assert not embedded._answers(ServiceInfo(f"http://127.0.0.1:{port}", "token", "instance-i", 1))
    assert not embedded._answers(ServiceInfo("no address", "token", "instance-i", 1))


def test_importing_it_is_cheap() -> None:
    script = "import sys, compute_executor.local.embedded; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert not {"asyncio", "uvicorn", "starlette", "http.client", "sqlite3", "subprocess", "ssl"} & set(
        loaded
    )


def test_a_program_whose_limits_are_too_tight_for_a_service_is_told_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "too_tight", lambda: "10 open files (ulimit -n)")
    with pytest.raises(ServiceUnavailable, match=r"10 open files \(ulimit -n\)"):
        embedded.find_or_start()


def test_a_service_in_another_network_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, state_home: Path
) -> None:
    announced = ServiceInfo("http://127.0.0.1:9", "token", "instance", 1, "net:[1]")
    monkeypatch.setattr(embedded, "living", lambda _: announced)
    monkeypatch.setattr(system, "network", lambda: "net:[2]")
    with pytest.raises(ServiceUnavailable, match=r"another network \(net:\[1\]; here it is net:\[2\]\)"):
        embedded.find()
    monkeypatch.setattr(system, "network", lambda: "net:[1]")
    assert embedded.find() is None
