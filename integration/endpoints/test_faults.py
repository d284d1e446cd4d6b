"""What can go wrong between a service and an endpoint, whatever its engine: a full disk, clocks, another Python,
large results, a service that is away, users that are not the same."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute_executor import Client, Executor
from compute_executor.errors import ComputeError, TaskTimeout, WorkerLost
from compute_executor.local import embedded
from compute_executor.local.state import read_announcement, state_folder
from integration import debian, pythons
from integration.endpoints.account import PATIENCE, WORKERS, ends_well
from integration.endpoints.contract import contract_holds
from integration.endpoints.engines import FACTORY, pilots_of
from integration.run import TEST_REQUIREMENTS
from tests.contract.work import Gate, wait_until
from tests.endpoint.agent.running import RunningEndpoint, command, environment, run, running
from tests.faults import work
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.timeout(300)

MEGABYTE = 1_000_000
FAKE_TIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


NOBODY = 65_534
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",  # to find the interpreter, which may lie in root's home
    "--ambient-caps=+dac_read_search",
)


class FarMachine:
    """What an endpoint on another machine has: a state folder of its own, and a way to the service that can be
    cut."""

    def __init__(self, home: Path) -> None:
        self._service = embedded.find_or_start()
        self._away = False
        self.proxy = Proxy(self._where)
        self.home = home

    @contextmanager
    def service_away(self) -> Iterator[None]:
        """Nobody listens there meanwhile."""
        self._away = True
        self.proxy.cut()
        try:
            yield
        finally:
            self._away = False

    def _where(self) -> tuple[str, int]:
        if self._away:
            return "127.0.0.1", 1
        host, _, port = (embedded.find() or self._service).url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def options(self, *more: str) -> tuple[str, ...]:
        """Of `endpoint start`."""
        return ("--url", f"http://127.0.0.1:{self.proxy.port}", "--workers", "2", *more)

    def environment(self) -> dict[str, str]:
        """Of its processes."""
        return {"COMPUTE_EXECUTOR_HOME": str(self.home), "COMPUTE_EXECUTOR_TOKEN": self._service.token}

    @contextmanager
    def running(self, name: str, *more: str, **changes: str) -> Iterator[RunningEndpoint]:
        """An endpoint there."""
        endpoint = RunningEndpoint(name, *self.options(*more), **{**self.environment(), **changes})
        try:
            assert "is connected" in endpoint.said, endpoint.end()
            yield endpoint
        finally:
            endpoint.end()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarMachine]:
    found = FarMachine(tmp_path / "far-home")
    yield found
    found.proxy.close()


@pytest.fixture
def small_disk(far: FarMachine) -> Iterator[Path]:
    """The far machine's state folder is on a disk of 48 MB, of which each worker takes 9."""
    if os.geteuid():
        pytest.skip("making a small disk (mount -t tmpfs) takes root")
    far.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", far.home], check=True)
    yield far.home
    subprocess.run(["umount", "--lazy", far.home], check=True)


def fill(folder: Path) -> Path:
    """A file over all that is free."""
    path = folder / "ballast"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            return path


def test_a_full_disk_at_the_endpoint(far: FarMachine, small_disk: Path, tmp_path: Path) -> None:
    """Small tasks go on. Arguments wait for room; a result that finds none is that task's own error, by name."""
    with far.running("full"), Executor("full") as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        ballast = fill(small_disk)
        trace = tmp_path / "trace"
        small = [executor.submit(work.traced, str(trace), name) for name in range(200)]
        assert ends_well(small, trace) == []
        large = executor.submit(bytes, 2 * MEGABYTE)
        with pytest.raises(OSError, match="No space left"):
            large.result(PATIENCE)
        waiting = [executor.submit(len, os.urandom(2 * MEGABYTE)) for _ in range(3)]
        log = far.home / "endpoints" / "full" / os.uname().nodename / "agent.log"
        wait_until(lambda: "cannot run here" in log.read_text())
        assert not any(future.done() for future in waiting)
        ballast.unlink()
        assert [future.result(PATIENCE) for future in waiting] == [2 * MEGABYTE] * 3
        assert len(executor.submit(bytes, 2 * MEGABYTE).result(PATIENCE)) == 2 * MEGABYTE


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_on_which_it_cannot_start(far: FarMachine, small_disk: Path, trouble: str) -> None:
    """What it is and what to do; everything is as before when there is room again."""
    with far.running("there"):
        pass
    before = sorted(small_disk.rglob("*"))
    if trouble == "full":
        fill(small_disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for words in (["start", "there"], ["start", "there", "--detach"], ["restart", "there"], ["start", "new"]):
        options = far.options() if words[1] == "new" else ()
        ended = run(*words, *options, **far.environment())
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        assert {"full": "no space left. Free some", "read-only": "writ"}[trouble] in ended.stderr
    if trouble == "full":
        (small_disk / "ballast").unlink()
        assert not list(small_disk.rglob("*.part"))
    else:
        assert sorted(small_disk.rglob("*")) == before
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with far.running("there"), Executor("there") as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8


def test_clocks_an_hour_apart(far: FarMachine) -> None:
    if not os.path.exists(FAKE_TIME):
        try:
            debian.install("libfaketime")
        except debian.CannotInstall as error:
            pytest.skip(str(error))
    changes = {"LD_PRELOAD": FAKE_TIME, "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with far.running("early", **changes), Executor("early") as executor:
        begun = time.time()
        future = executor.submit(time.time)
        assert 3500 < future.result(PATIENCE) - time.time() < 3700, "its clock is wrong"
        timings = future.timings
        assert timings.began is not None
        assert begun - 5 < timings.began < time.time() + 5, "times are by the service's clock"
        with pytest.raises(TaskTimeout):
            executor.options(timeout=0.5).submit(computes_for_ever).result(PATIENCE)
        assert list(executor.map(pow, range(100), [2] * 100)) == [number**2 for number in range(100)]


def computes_for_ever() -> None:
    """A clock that is made wrong cannot be slept by."""
    while True:
        pass


@pytest.fixture
def other_python() -> tuple[str, Path]:
    """The version of another Python than this one, and its interpreter, where this package is installed."""
    mine = platform.python_version_tuple()[:2]
    others = [found for found in pythons.found().items() if tuple(found[0].split(".")[:2]) != mine]
    if not others:
        pytest.skip("there is no other Python here")
    version, python = others[-1]
    return version, pythons.environment(python, "python", *TEST_REQUIREMENTS)


def test_another_python(other_python: tuple[str, Path], far: FarMachine) -> None:
    """Functions by value are refused by name before they run; by source, and by reference, they run."""
    version, python = other_python
    endpoint = subprocess.Popen(
        [str(python), *command("start", "other", *far.options())[1:]],
        env=environment(**far.environment()),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert endpoint.stdout is not None
        assert "is connected" in endpoint.stdout.readline()
        with Executor("other") as executor:
            assert executor.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
            with pytest.raises(ComputeError, match="by_source=True") as refused:
                executor.submit(lambda: 1).result(PATIENCE)
            assert platform.python_version() in str(refused.value)
        with Executor("other", by_source=True) as executor:
            assert executor.submit(which_python).result(PATIENCE) == version
    finally:
        endpoint.terminate()
        endpoint.communicate(timeout=30)


def which_python() -> str:
    import platform

    return platform.python_version()


@pytest.fixture
def pools(tmp_path: Path) -> str:
    """The engine that is a pool of processes, as a value of --engine: tasks run in pilots."""
    path = tmp_path / "pools.py"
    path.write_text(FACTORY)
    return f"{path}:make"


@pytest.mark.parametrize("kind", ["process", "pilots"])
def test_the_service_is_away_for_a_while(far: FarMachine, pools: str, tmp_path: Path, kind: str) -> None:
    """What runs goes on, results are kept, and everything is as it was when it is back."""
    check_absence(far, {"process": "process", "pilots": pools}[kind], tmp_path / "trace", 6.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_service_is_away_for_minutes(far: FarMachine, pools: str, tmp_path: Path) -> None:
    check_absence(far, pools, tmp_path / "trace", 600.0)


def check_absence(far: FarMachine, engine: str, trace: Path, seconds: float) -> None:
    with far.running("lonely", "--engine", engine), Executor("lonely") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(200)]
        wait_until(lambda: len(work.runs(trace)) >= 20)
        with far.service_away():
            before = len(work.runs(trace))
            time.sleep(seconds)
            assert len(work.runs(trace)) > before, "what it held went on"
        assert ends_well(futures, trace) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["process", "pilots"])
def test_a_result_of_a_gigabyte(far: FarMachine, pools: str, kind: str) -> None:
    """It goes from disk to disk in parts: no process on its way has it in memory."""
    size = 1_000_000_000
    # The pilot stays until it was looked at.
    options = {"process": ("process",), "pilots": (pools, "--idle", "300")}[kind]
    with far.running("large", "--engine", *options) as endpoint, Executor("large") as executor:
        executor.submit(bytes, 10 * MEGABYTE).result(PATIENCE)
        announced = read_announcement(state_folder())
        assert announced is not None
        on_its_way = [announced.pid, endpoint.pid, *pilots_of(endpoint.pid)]
        assert len(on_its_way) == (2 if kind == "process" else 3)
        before = [most_memory(pid) for pid in on_its_way]
        future = executor.submit(bytes, size)
        wait([future], PATIENCE)
        grown = [most_memory(pid) - was for pid, was in zip(on_its_way, before, strict=True)]
        assert len(future.result(PATIENCE)) == size
    assert max(grown) < 100 * MEGABYTE, grown


def most_memory(pid: int) -> int:
    """Bytes of memory that a process has had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_its_token_is_revoked_while_tasks_run(far: FarMachine, pools: str, tmp_path: Path) -> None:
    """It ends with a word, and its pilots with it; started again it gets a new token, and the rest runs."""
    trace = tmp_path / "trace"
    with Executor(max_workers=1):
        endpoint = RunningEndpoint("revoked", *far.options("--engine", pools), **far.environment())
        with Executor("revoked") as executor:
            futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(150)]
            wait_until(lambda: len(work.runs(trace)) >= 20)
            assert "revoked" in run("revoke", "revoked").stdout
            code, error = endpoint.wait()
            assert code == 1
            assert "token" in error
            with far.running("revoked", "--engine", pools):
                # What ran, and what had ended in a pilot that had not told it yet: more of it on a busy machine.
                assert len(ends_well(futures, trace)) <= 5 * WORKERS


# -- users ------------------------------------------------------------------------------------------------


@pytest.fixture
def home_of_nobody(far: FarMachine) -> Iterator[Path]:
    """The far machine's state folder is that of another user of this one."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("running as somebody else takes root and setpriv")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the folders of pytest are closed to others
        os.chown(folder, NOBODY, NOBODY)
        far.home = Path(folder)
        yield far.home


def test_two_users_of_one_machine_work_under_one_name(far: FarMachine, home_of_nobody: Path) -> None:
    """Two accounts with state folders and environments of their own; one is killed and given up, the other does the
    rest."""
    with running("pair", WHO="root") as near, Executor("pair") as executor:
        theirs = subprocess.Popen(
            [*AS_NOBODY, *command("start", "pair", "--join", *far.options())],
            env=environment(**far.environment(), HOME=str(home_of_nobody), WHO="nobody"),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert theirs.stdout is not None
            assert "is connected" in theirs.stdout.readline()
            users = set(executor.map(_user, range(200)))
            assert users == {(os.getuid(), near.pid, "root"), (NOBODY, theirs.pid, "nobody")}
            futures = [executor.submit(time.sleep, 0.02) for name in range(250)]
            wait_until(lambda: sum(future.done() for future in futures) >= 40)
        finally:
            theirs.kill()
            theirs.communicate()
        wait_until(lambda: "away" in run("status", "pair").stdout)
        held = 3 * WORKERS + 40
        wait_until(lambda: json.loads(run("status", "pair", "--json").stdout)["open"] <= held)
        run("forget", "pair")
        _, pending = wait(futures, PATIENCE)
        assert not pending
        errors = [error for future in futures if (error := future.exception()) is not None]
        assert all(isinstance(error, WorkerLost) for error in errors)
        assert len(errors) <= held


def test_two_machines_under_one_name(far: FarMachine, tmp_path: Path) -> None:
    """Each with a state folder of its own: ten thousand calls on both, and none that waits behind a long one while
    the other machine has nothing to do."""
    gate = Gate(tmp_path / "gate")
    with running("twins", WHO="near"), Executor("twins") as executor:
        held = [executor.submit(gate.hold, str(number)) for number in range(2 * WORKERS)]
        wait_until(lambda: sum(future.running() for future in held) == WORKERS)
        with far.running("twins", "--join", WHO="far"):
            wait_until(lambda: all(future.running() for future in held))
            gate.open()
            wait(held, PATIENCE)
            futures = [executor.submit(divmod, number, 7) for number in range(10_000)]
            _, pending = wait(futures, PATIENCE)
            assert not pending
            assert all(future.result() == divmod(number, 7) for number, future in enumerate(futures))
            assert {user[2] for user in executor.map(_user, range(200))} == {"near", "far"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_contract_of_an_executor_on_two_machines(far: FarMachine) -> None:
    with running("couple", "--workers", "1"), far.running("couple", "--join", "--workers", "1"):
        contract_holds("couple")


def _user(_: int) -> tuple[int, int, str]:
    time.sleep(0.005)
    return os.getuid(), os.getppid(), os.environ["WHO"]


class SharedService:
    """A service with two users, each with a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        program = [sys.executable, "-m", "compute_executor"]
        self.process = subprocess.Popen(
            [
                *program,
                "serve",
                "--auth",
                "token",
                "--port",
                "0",
                "--durability",
                "process",
                "--state",
                self._folder,
            ],
            env=environment(),
        )
        wait_until(lambda: read_announcement(folder) is not None)
        announced = read_announcement(folder)
        assert announced is not None
        self.url = announced.url
        self.tokens = [self._token(name) for name in ("ann", "bob")]

    def _token(self, name: str) -> str:
        self._said("user", "add", name)
        return self._said("token", "new", name)

    def _said(self, *words: str) -> str:
        program = [sys.executable, "-m", "compute_executor", *words, "--state", self._folder]
        return subprocess.run(
            program, env=environment(), capture_output=True, text=True, check=True
        ).stdout.strip()


def test_an_endpoint_of_that_name_is_somebody_elses(tmp_path: Path) -> None:
    """A name is each user's own: neither sees, uses, ends or replaces the other's."""
    service = SharedService(tmp_path / "service")
    homes = [tmp_path / "ann", tmp_path / "bob"]
    options = ("lab", "--url", service.url, "--workers", "1")
    changes = [
        {"COMPUTE_EXECUTOR_HOME": str(home), "COMPUTE_EXECUTOR_TOKEN": token}
        for home, token in zip(homes, service.tokens, strict=True)
    ]
    endpoints = [RunningEndpoint(*options, **change) for change in changes]
    try:
        assert ["is connected" in endpoint.said for endpoint in endpoints] == [True, True]
        for endpoint, token in zip(endpoints, service.tokens, strict=True):
            with Client(base_url=service.url, token=token) as client, Executor("lab", client) as executor:
                assert executor.submit(os.getppid).result(PATIENCE) == endpoint.pid
        again = RunningEndpoint(*options, **{**changes[0], "COMPUTE_EXECUTOR_HOME": str(tmp_path / "third")})
        code, error = again.wait()
        assert code == 1
        assert "--join" in error
        assert run("stop", "lab", "--everywhere", **changes[1]).returncode == 0
        assert endpoints[1].wait()[0] == 0
        assert run("status", "lab", **changes[0]).returncode == 0, "the other one's goes on"
    finally:
        for endpoint in endpoints:
            endpoint.end()
        service.process.terminate()
        service.process.wait(30)
