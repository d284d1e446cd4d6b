"""Tasks of users run under real accounts of this machine, and none reaches what is another's or the service's."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compute_executor import ContainerSpec, Executor
from compute_executor.endpoint.agent.engines import TRY_AGAIN
from compute_executor.errors import (
    EndpointNotShared,
    PoolBroken,
    WorkerLost,
)
from tests.service.run_as import accounts
from tests.service.run_as.accounts import AccountService, pool_processes, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(accounts.why_not()), reason=accounts.why_not()),
]


class Lab(NamedTuple):
    """A service, the accounts of two of its users and the tokens of three."""

    service: AccountService
    ann: str
    bob: str
    tokens: dict[str, str]

    def executor(self, user: str, **options: Any) -> Executor:
        """An Executor of a user, without an endpoint."""
        return Executor(client=self.service.client(self.tokens[user]), **options)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Users ann and bob have accounts, carol has none."""
    with ExitStack() as stack:
        ann = stack.enter_context(accounts.account(f"ce-ann-{os.getpid()}"))
        bob = stack.enter_context(accounts.account(f"ce-bob-{os.getpid()}"))
        folder = stack.enter_context(accounts.open_folder())
        (folder / "accounts.toml").write_text(f'ann = "{ann}"\nbob = "{bob}"\n')
        service = AccountService(folder, "--run-as", str(folder / "accounts.toml"))
        stack.callback(service.stop)
        tokens = {user: service.user(user) for user in ("ann", "bob", "carol")}
        yield Lab(service, ann, bob, tokens)


def attempts(*doing: Callable[[], object]) -> list[str]:
    """What came of each: the name of the error, or what it was."""
    found = []
    for one in doing:
        try:
            found.append(repr(one()))
        except OSError as error:
            found.append(type(error).__name__)
    return found


def whoami() -> dict[str, Any]:
    """What a task is."""
    variables = ("HOME", "USER", "MINE")
    return {
        "ids": os.getresuid() + os.getresgid(),
        "groups": os.getgroups(),
        "cwd": os.getcwd(),
        "variables": [os.environ.get(name) for name in variables],
        "pid": os.getpid(),
        "agent": os.getppid(),
    }


def test_a_pool_is_what_its_executor_asked_for_under_the_account(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "kept")

    def initialize(number: int) -> None:
        global value
        value = number  # type: ignore[name-defined]

    def meet(folder: str, number: int) -> tuple[int, int]:
        """Two workers are needed to get past here."""
        Path(folder, str(number)).touch()
        while len(list(Path(folder).iterdir())) < 2:
            time.sleep(0.01)
        return os.getpid(), value  # type: ignore[name-defined]

    entry = pwd.getpwnam(lab.ann)
    with lab.executor("ann", max_workers=2, initializer=initialize, initargs=(7,)) as ex:
        me = ex.submit(whoami).result()
        assert me["ids"] == (entry.pw_uid,) * 3 + (entry.pw_gid,) * 3
        assert me["groups"] == [entry.pw_gid]
        assert me["cwd"] == os.getcwd()
        assert me["variables"] == [entry.pw_dir, lab.ann, "kept"]
        folder = f"{entry.pw_dir}/meet"
        ex.submit(os.mkdir, folder).result()
        met = [future.result() for future in [ex.submit(meet, folder, number) for number in range(2)]]
        assert len({pid for pid, _ in met}) == 2
        assert {found for _, found in met} == {7}
        large = b"x" * 3_000_000
        assert [future.result() for future in [ex.submit(len, large) for _ in range(3)]] == [len(large)] * 3
        assert ex.submit(bytes, 3_000_000).result() == bytes(3_000_000)
    with lab.service.client(lab.tokens["ann"]) as client:
        task = client.run(function_id=client.register_function(whoami))
        wait_until(lambda: not client.get_task(task)["pending"])
        assert client.get_result(task)["variables"] == [entry.pw_dir, lab.ann, None]


def test_a_task_reaches_nothing_of_the_service_or_of_another_user(lab: Lab) -> None:
    state, service = lab.service.state, lab.service.info.pid
    with lab.executor("bob") as bobs, lab.executor("ann") as anns:
        bob = bobs.submit(whoami).result()
        secret = f"{pwd.getpwnam(lab.bob).pw_dir}/secret"
        bobs.submit(attempts, make_private(secret)).result()
        assert bobs.submit(attempts, reading(secret)).result() == ["b's'"], "it is there"
        closed = [
            reading(f"{state}/service.json"),
            reading(f"{state}/store.sqlite"),
            lambda: os.listdir(state),
            lambda: os.listdir(state.with_name("state.accounts")),
            reading(f"/proc/{service}/environ"),
            reading(f"/proc/{service}/mem"),
            lambda: os.kill(service, 0),
            reading(secret),
        ]
        for pool in lab.service.pools():
            closed.append(reading(f"{pool}/user"))
            if pool.joinpath("state").stat().st_uid != pwd.getpwnam(lab.ann).pw_uid:
                closed.append(lister(f"{pool}/state"))
        for pid in (bob["pid"], bob["agent"]):
            closed += [
                reading(f"/proc/{pid}/environ"),
                reading(f"/proc/{pid}/mem"),
                tracing(pid),
                killing(pid),
            ]
        assert len(closed) > 16
        assert anns.submit(attempts, *closed).result() == ["PermissionError"] * len(closed)
        assert bobs.submit(os.getpid).result() == bob["pid"], "bob's worker runs"


def make_private(path: str) -> Callable[[], object]:
    """Writes a file that nobody else may read."""

    def make() -> int:
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        return os.write(file, b"s")

    return make


def reading(path: str) -> Callable[[], object]:
    """Reads a byte of a file."""
    return lambda: os.read(os.open(path, os.O_RDONLY), 1)


def lister(path: str) -> Callable[[], object]:
    """Lists a folder."""
    return lambda: os.listdir(path)


def killing(pid: int) -> Callable[[], object]:
    """Sends a signal."""
    return lambda: os.kill(pid, signal.SIGKILL)


def tracing(pid: int) -> Callable[[], object]:
    """Attaches as a debugger does (PTRACE_SEIZE)."""

    def attach() -> int:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        done = library.ptrace(0x4206, pid, None, None)
        if done == -1:
            raise OSError(ctypes.get_errno(), "ptrace")
        return int(done)

    return attach


def test_the_token_of_a_pool_is_in_no_argument_and_no_variable(lab: Lab) -> None:
    with lab.executor("ann") as ex:
        agent = ex.submit(whoami).result()["agent"]
        variables = Path(f"/proc/{agent}/environ").read_text().strip("\0").split("\0")
        names = {one.partition("=")[0] for one in variables}
        known = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LC_ALL", "TZ", "COMPUTE_EXECUTOR_HOME"}
        assert names <= known
        arguments = Path(f"/proc/{agent}/cmdline").read_text().strip("\0").split("\0")
        assert arguments[1:] == [
            "-I",
            "-c",
            "from compute_executor.endpoint.agent.pool_agent import main; main()",
        ]


def test_who_has_no_account_is_told_what_to_do(lab: Lab) -> None:
    with (
        pytest.raises(EndpointNotShared, match=r'tasks of carol .* a line "carol" = "ACCOUNT"'),
        lab.executor("carol") as ex,
    ):
        ex.submit(os.getpid).result()
    with lab.service.client(lab.tokens["carol"]) as client, pytest.raises(EndpointNotShared, match="carol"):
        client.run(function_id=client.register_function(whoami))


def test_environments_are_refused_by_name(lab: Lab) -> None:
    with lab.service.client(lab.tokens["ann"]) as client, pytest.raises(EndpointNotShared, match="container"):
        client.build_container(ContainerSpec(name="env", pip=["click"]))


def test_values_that_calls_share_are_their_users_alone(lab: Lab) -> None:
    """Sent to the pool once, where only its account reads them."""
    with lab.executor("ann") as anns, lab.executor("bob") as bobs:
        ref = anns.put(os.urandom(100_000))
        assert list(anns.map(len, [ref] * 20)) == [100_000] * 20
        assert bobs.submit(len, b"x" * 100_000).result() == 100_000
        files = [path for pool in lab.service.pools() for path in pool.rglob("blobs/*")]
        assert files, "it is kept for later calls"
        ann = pwd.getpwnam(lab.ann).pw_uid
        assert {path.stat().st_uid for path in files} == {ann}
        outcomes = bobs.submit(attempts, *[reading(str(path)) for path in files]).result()
        assert outcomes == ["PermissionError"] * len(files)
        assert anns.submit(len, ref).result() == 100_000


def test_a_pool_whose_workers_cannot_start_says_so(lab: Lab) -> None:
    def fail() -> None:
        raise ValueError("no such instrument")

    began = time.monotonic()
    with lab.executor("ann", initializer=fail) as ex, pytest.raises(PoolBroken, match="no such instrument"):
        ex.submit(os.getpid).result()
    assert time.monotonic() - began < TRY_AGAIN, (
        "it is told at the first connection, and not at the next attempt"
    )


def test_a_process_that_dies_is_started_again(lab: Lab) -> None:
    def end_the_process() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    with lab.executor("ann", max_workers=1) as ex:
        before = ex.submit(whoami).result()["agent"]
        lost, later = ex.submit(end_the_process), ex.submit(whoami)
        with pytest.raises(WorkerLost, match="ended while this task ran"):
            lost.result()
        assert later.result()["agent"] != before


def test_the_process_and_the_folder_go_with_the_pool(lab: Lab) -> None:
    with lab.executor("bob") as ex:
        ex.submit(os.getpid).result()
        assert pool_processes(lab.bob)
    wait_until(lambda: not pool_processes(lab.bob))
    uid = pwd.getpwnam(lab.bob).pw_uid
    wait_until(lambda: not any(owned(one / "state", uid) for one in lab.service.pools()))


def owned(path: Path, uid: int) -> bool:
    """Whether this is there, and whose it is."""
    try:
        return path.stat().st_uid == uid
    except FileNotFoundError:
        return False


def test_a_service_that_is_killed_goes_on_with_what_the_processes_have(lab: Lab) -> None:
    def finish(path: str) -> str:
        """Take until the service has gone."""
        Path(path).touch()
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.01)
        return "not reached"

    sign = f"{pwd.getpwnam(lab.ann).pw_dir}/begun"
    with lab.executor("ann", max_workers=1) as ex:
        assert ex.submit(os.getuid).result() == pwd.getpwnam(lab.ann).pw_uid
        begun, queued = ex.submit(finish, sign), [ex.submit(os.getuid) for _ in range(20)]
        wait_until(lambda: os.path.exists(sign))
        lab.service.kill()
        lab.service.start()
        lost = begun.exception(timeout=accounts.PATIENCE)
        assert isinstance(lost, WorkerLost)
        assert {future.result() for future in queued} == {pwd.getpwnam(lab.ann).pw_uid}


def test_its_processes_end_with_the_service(lab: Lab) -> None:
    with lab.executor("ann") as ex:
        ex.submit(os.getpid).result()
        lab.service.stop()
        assert not pool_processes(lab.ann)
        lab.service.start()
        assert ex.submit(os.getuid).result() == pwd.getpwnam(lab.ann).pw_uid
