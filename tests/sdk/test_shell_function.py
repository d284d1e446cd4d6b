"""Command lines as functions: here, on workers, and as a description for stock endpoints."""

from __future__ import annotations

import base64
import importlib.util
import os
import pickle
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import dill
import pytest

from compute_executor import Executor, MPIFunction, ShellFunction, ShellResult
from compute_executor.sdk import shell_function
from compute_executor.serialization import native, strategies

PATIENCE = 30.0


def run(cmd: str, **options: Any) -> ShellResult:
    result = ShellFunction(cmd, **options)()
    assert isinstance(result, ShellResult)
    return result


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_with_arguments() -> None:
    result = ShellFunction("echo {what}; echo trouble >&2")(what="hello")
    assert isinstance(result, ShellResult)
    assert (result.stdout, result.stderr, result.returncode) == ("hello\n", "trouble\n", 0)
    assert (result.cmd, result.exception_name) == ("echo hello; echo trouble >&2", None)


def test_a_command_that_fails() -> None:
    result = run("echo no >&2; exit 3")
    assert (result.returncode, result.exception_name) == (3, "subprocess.CalledProcessError")
    assert str(result) == (
        "exit code: 3\n   stdout:\n\n\n   stderr:\nno\n\nexception: subprocess.CalledProcessError"
    )


def test_the_walltime_ends_the_whole_process_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    begun = time.monotonic()
    result = run(
        f"sleep 60 & echo $! >> {pids}; sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait", walltime=0.3
    )
    assert time.monotonic() - begun < 20
    assert (result.returncode, result.exception_name) == (124, "subprocess.TimeoutExpired")
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 3
    deadline = time.monotonic() + 5
    while any(map(alive, numbers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [pid for pid in numbers if alive(pid)] == []


def test_a_command_that_does_not_heed_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_function, "TERM_PATIENCE", 0.1)
    assert run("trap '' TERM; sleep 60; sleep 60", walltime=0.3).returncode == 124


def test_a_caller_that_is_interrupted_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    stop = shell_function._stop

    def interrupted(process: Any, walltime: float | None) -> Any:
        seen.append(process)
        try:
            raise KeyboardInterrupt
        except BaseException:
            stop(process)
            raise

    monkeypatch.setattr(shell_function, "_waited", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("sleep 60")
    assert seen[0].poll() is not None


def test_output_is_bounded_by_lines_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("seq 1 2000").stdout.splitlines()[0] == "1001"
    assert run("seq 1 20", snippet_lines=2).stdout == "19\n20\n"
    monkeypatch.setattr(shell_function, "MAX_SNIPPET", 1000)
    assert len(run("head -c 5000 /dev/zero | tr '\\0' x").stdout) == 1000


def test_output_that_is_no_text_is_shown() -> None:
    assert run("printf 'a\\xffb'").stdout == "a\\xffb"


def test_files_of_outputs_are_made_and_appended_to(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    for _ in range(2):
        result = run("echo hi", stdout=str(out))
    assert out.read_text() == result.stdout == "hi\nhi\n"


def test_nothing_is_left_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("echo hi")
    assert list(tmp_path.iterdir()) == []


def test_an_endpoints_sandbox_is_where_it_runs_and_keeps_the_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GC_TASK_SANDBOX_DIR", str(tmp_path / "task"))
    monkeypatch.setenv("GC_TASK_UUID", "the-task")
    here = os.getcwd()
    assert run("pwd").stdout.strip() == str(tmp_path / "task")
    assert os.getcwd() == here
    assert {file.name.partition(".")[0] for file in (tmp_path / "task").iterdir()} == {"the-task"}


def test_a_dict_for_those_who_want_json() -> None:
    assert ShellFunction("true", return_dict=True)() == {
        "cmd": "true",
        "stdout": "",
        "stderr": "",
        "returncode": 0,
        "exception_name": None,
    }


@pytest.mark.parametrize("name", ["no name", "class", "1x"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="valid python name"):
        ShellFunction("true", name=name)


def test_a_negative_walltime() -> None:
    with pytest.raises(AssertionError, match="Negative walltime"):
        ShellFunction("true", walltime=-1)


def test_mpi_functions_begin_with_the_endpoints_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("echo x").cmd == "echo x"
    result = MPIFunction("echo {x}")(x=1)
    assert isinstance(result, ShellResult)
    assert (result.cmd, result.stdout) == ("$PARSL_MPI_PREFIX echo 1", "1\n")
    monkeypatch.setenv("PARSL_MPI_PREFIX", "env RANK=7")
    again = MPIFunction("bash -c 'echo $RANK'")()
    assert isinstance(again, ShellResult)
    assert again.stdout == "7\n"


class Loud(ShellFunction):
    """A class of a user's own."""

    def __call__(self, **kwargs: Any) -> ShellResult | dict[str, Any]:
        return self.execute_cmd_line(self.cmd.format(**kwargs).upper())


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps, dill.dumps])
@pytest.mark.parametrize("kind", [ShellFunction, MPIFunction, Loud])
def test_it_travels(kind: type[ShellFunction], dumps: Any) -> None:
    function = pickle.loads(dumps(kind("echo {x}", walltime=3, name="mine", return_dict=True)))
    assert type(function).__name__ == kind.__name__
    assert repr(function) == f"{kind.__name__}(name='mine', walltime=3, snippet_lines=1000, cmd='echo {{x}}')"
    assert function.return_dict is True


def test_its_description_needs_neither_class_by_name() -> None:
    """A stock worker has the SDK and not this package."""
    stream = pickle.dumps(ShellFunction("true"))
    assert b"cshell" not in stream
    assert b"globus_compute_sdk.sdk." in stream
    assert (
        pickle.dumps(ShellFunction("true"), 4).count(b"compute_executor.sdk.shell_function") == 1
    )  # in the text


@pytest.fixture
def stream_of_a_peer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """What a program with the SDK sends: an instance of a class of its, with these attributes."""

    def made(kind: str, **attributes: Any) -> bytes:
        name = "mpi_function" if kind == "MPIFunction" else "shell_function"
        place = f"globus_compute_sdk.sdk.{name}"
        theirs = type(kind, (), {"__module__": place})
        value = theirs()
        vars(value).update(attributes)
        with monkeypatch.context() as patch:
            for module in ("globus_compute_sdk", "globus_compute_sdk.sdk", place):
                patch.setitem(sys.modules, module, types.ModuleType(module))
            setattr(sys.modules[place], kind, theirs)
            return pickle.dumps(value, 4)

    return made


RESULT = {"cmd": "c", "stdout": "o", "stderr": "e", "returncode": 0, "exception_name": None}
COMMAND = {
    "cmd": "echo {x}",
    "stdout": None,
    "stderr": None,
    "walltime": None,
    "snippet_lines": 1000,
    "return_dict": False,
    "__name__": "mine",
}


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [(ShellResult, RESULT), (ShellFunction, COMMAND), (MPIFunction, COMMAND)],
)
def test_the_sdks_classes_are_read_as_ours(
    kind: type, attributes: dict[str, Any], stream_of_a_peer: Callable[..., bytes]
) -> None:
    stream = stream_of_a_peer(kind.__name__, **attributes)
    text = "01\n" + base64.encodebytes(stream).decode()
    for found in (native.loads(stream), strategies.loads(text), strategies.loads("02" + text[2:])):
        assert type(found) is kind
        assert vars(found) == attributes


def test_the_sdk_reads_our_result_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = dill.dumps(ShellResult("c", "o", "e", 0))
    place = "globus_compute_sdk.sdk.shell_function"
    theirs = type("ShellResult", (ShellResult,), {})
    for module in ("globus_compute_sdk", "globus_compute_sdk.sdk", place):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    monkeypatch.setattr(sys.modules[place], "ShellResult", theirs, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)  # this package is not there
        found = dill.loads(stream)
    assert type(found) is theirs
    assert vars(found) == RESULT


def test_a_walltime_of_zero_ends_it_at_once() -> None:
    assert run("sleep 60", walltime=0).returncode == 124


@pytest.mark.slow
def test_on_a_worker() -> None:
    with Executor(max_workers=1) as executor:
        result = executor.submit(ShellFunction("echo {x}"), x="there").result(PATIENCE)
        late = executor.submit(ShellFunction("sleep 60", walltime=0.2)).result(PATIENCE)
        many = list(executor.map(Loud("echo hi"), []))  # type: ignore[arg-type]
    assert isinstance(result, ShellResult)
    assert isinstance(late, ShellResult)
    assert (result.stdout, late.returncode, many) == ("there\n", 124, [])
