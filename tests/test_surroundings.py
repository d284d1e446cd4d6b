"""What a program has from the system and its interpreter, and that its tasks have the same."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor import surroundings
from compute_executor.surroundings import (
    cpu_quota,
    interpreter_options,
    local_text,
    pack,
    usable_memory,
    wire_text,
)
from tests.endpoint.conftest import Lab, Script, lab

__all__ = ["lab"]


@given(st.binary())
def test_every_text_of_the_system_travels_as_utf8_and_comes_back(raw: bytes) -> None:
    sent = wire_text(os.fsdecode(raw))
    sent.encode()
    assert os.fsencode(local_text(sent)) == raw


def run(source: str, *options: str, **settings: Any) -> Any:
    """What a program prints, as JSON."""
    done = subprocess.run(
        [sys.executable, *options, "-c", f"import json, sys\n{source}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        **settings,
    )
    return json.loads(done.stdout)


FLAGS = "tuple(sys.flags), sys.warnoptions, {n: str(v) for n, v in sys._xoptions.items()}"
SAME = f"""
import subprocess, compute_executor.surroundings as s
look = "import json, sys; print(json.dumps([{FLAGS}]))"
there = subprocess.run([sys.executable, *s.interpreter_options(), "-c", look], capture_output=True, check=True).stdout
print(json.dumps([json.loads(json.dumps([{FLAGS}])), json.loads(there)]))
"""


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-O"],
        ["-OO", "-B"],
        ["-W", "error::FutureWarning", "-W", "ignore"],
        ["-X", "utf8", "-X", "int_max_str_digits=9000"],
        ["-X", "dev"],
        ["-bb"],
        ["-E", "-s"],
        ["-q", "-X", "pycache_prefix=/tmp/x"],
    ],
)
@pytest.mark.parametrize("warnings", ["", "default::UserWarning"])
def test_the_options_of_an_interpreter_make_one_with_the_same_flags(
    options: list[str], warnings: str
) -> None:
    environ = dict(os.environ) | ({"PYTHONWARNINGS": warnings} if warnings else {})
    here, there = run(SAME, *options, env=environ)
    assert here == there


def test_an_isolated_interpreter_has_its_options_too() -> None:
    source = f"sys.path.insert(0, {str(Path(surroundings.__file__).parents[1])!r})\n{SAME}"
    here, there = run(source, "-I")
    assert here == there


def test_this_interpreter_has_no_option_that_is_not_said() -> None:
    assert all(option.startswith("-") for option in interpreter_options())


def look() -> dict[str, Any]:
    import os
    import resource
    import signal
    import sys

    return {
        "affinity": sorted(os.sched_getaffinity(0)),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": os.sched_getscheduler(0),
        "umask": os.umask(0),
        "hangup": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
        "child": signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN,
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "argv": [os.fsencode(one) for one in sys.argv],
        "optimize": sys.flags.optimize,
    }


def test_a_worker_has_the_surroundings_that_were_observed(lab: Lab) -> None:
    wanted = {
        "affinity": [min(os.sched_getaffinity(0))],
        "niceness": os.getpriority(os.PRIO_PROCESS, 0) + 3,
        "scheduler": (os.SCHED_BATCH, 0),
        "umask": 0o027,
        "ignored": [int(signal.SIGHUP)],
        "blocked": [int(signal.SIGUSR1)],
        "limits": {"RLIMIT_CORE": (0, 4096), "RLIMIT_NOFILE": (60, 200), "RLIMIT_NEWER_THAN_THIS": (1, 1)},
        "argv": [b"program.py", b"caf\xe9"],
        "newer": "than this worker",
    }

    async def scenario(script: Script) -> None:
        seen = await script.run(look)
        for name in ("affinity", "niceness", "umask", "blocked", "argv"):
            assert seen[name] == wanted[name], name
        assert seen["scheduler"] == os.SCHED_BATCH
        assert (seen["hangup"], seen["child"]) == (True, False)
        assert (seen["core"], seen["files"]) == ((0, 4096), (60, 200))
        assert seen["optimize"] == 1
        assert await script.run(bytes, 200_000) == bytes(200_000), "a file of a result, with few descriptors"

    lab(scenario, surroundings=pack(wanted), interpreter=["-O"])


def test_what_the_system_does_not_allow_stays(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        assert (await script.run(look))["affinity"] == sorted(os.sched_getaffinity(0))

    lab(scenario, surroundings=pack({"affinity": [100_000], "limits": {"RLIMIT_NOFILE": (1 << 62, 1 << 62)}}))


def test_a_program_is_observed_as_it_is() -> None:
    source = """
import os, resource, signal
for ignored in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:  # below nohup, and in the background of a script
    signal.signal(ignored, signal.SIG_DFL)
os.umask(0o013); os.nice(2); signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); resource.setrlimit(resource.RLIMIT_CORE, (1, 2))
from compute_executor.surroundings import observe
seen = observe()
print(json.dumps([seen["umask"], seen["ignored"], seen["blocked"], seen["limits"]["RLIMIT_CORE"], os.umask(0)]))
"""
    assert run(source) == [0o013, [int(signal.SIGCHLD)], [int(signal.SIGUSR2)], [1, 2], 0o013]


def test_without_the_kernels_word_the_umask_is_asked_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise FileNotFoundError

    before = os.umask(0o021)
    try:
        monkeypatch.setattr("builtins.open", refused)
        assert surroundings._umask() == 0o021
        monkeypatch.undo()
        assert surroundings._umask() == 0o021
    finally:
        os.umask(before)


def test_a_service_is_neutral_whoever_started_it() -> None:
    source = """
import os, resource, signal
from compute_executor.surroundings import neutral
neutral()
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
print(json.dumps([
    signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    len(os.sched_getaffinity(0)), limit[0] == limit[1], resource.getrlimit(resource.RLIMIT_NOFILE)[1]]))
"""

    def odd() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    default, blocked, cpus, unlimited, files = run(source, preexec_fn=odd)
    assert (default, blocked, unlimited) == (True, 0, True)
    assert cpus >= len(os.sched_getaffinity(0))
    assert files > 0


def test_no_more_workers_than_the_program_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, count in ((None, 8), (2.5, 3), (0.1, 1), (100.0, 8)):
        monkeypatch.setattr(surroundings, "cpu_quota", lambda quota=quota: quota)
        assert surroundings.usable_cpus() == count
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert surroundings.usable_cpus() == 5


def quota(folder: Path, proc: str, files: dict[str, str]) -> float | None:
    (folder / "proc").write_text(proc)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpu_quota(str(folder / "proc"), str(folder / "cgroup"))


def test_the_quota_of_a_control_group_and_of_those_above_it(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "a/b/cpu.max": "400000 100000\n"}
    assert quota(tmp_path, "0::/a/b\n", files) == 1.5


def test_the_quota_of_version_1(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    }
    assert math.isclose(quota(tmp_path, "4:memory:/job\n3:cpu,cpuacct:/job\nodd\n", files) or 0, 0.5)


def test_in_a_container_the_quota_is_that_of_its_own_mount(tmp_path: Path) -> None:
    assert quota(tmp_path, "0::/../../host/path\n", {"cpu.max": "100000 50000\n"}) == 2.0


def test_no_control_group_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(str(tmp_path / "absent"), str(tmp_path)) is None
    assert quota(tmp_path, "0::/\n", {}) is None


def memory(folder: Path, proc: str, files: dict[str, str]) -> int:
    quota(folder, proc, files)
    return usable_memory(str(folder / "proc"), str(folder / "cgroup"))


def test_memory_is_the_machines_or_that_of_a_control_group(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory(tmp_path, "0::/a/b\n", {}) == machine
    files = {"a/memory.max": "100000\n", "a/b/memory.max": "max\n", "memory.max": "0\n"}
    assert memory(tmp_path, "0::/a/b\n", files) == 100_000


def test_memory_of_version_1(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": f"{1 << 62}\n", "memory/job/memory.limit_in_bytes": "50000\n"}
    assert memory(tmp_path, "4:memory:/job\n", files) == 50_000


def test_tight_limits_are_named() -> None:
    source = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from compute_executor.surroundings import tight_limits
print(json.dumps(tight_limits()))
"""
    assert "64 open files (ulimit -n), 1000 bytes of a file (ulimit -f)" in run(source)


def test_limits_that_no_service_could_work_with() -> None:
    source = """
import resource
from compute_executor.surroundings import too_tight
said = [too_tight()]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); said.append(too_tight())
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)); said.append(too_tight())
print(json.dumps(said))
"""
    none, size, both = run(source)
    assert none == ""
    assert "1000 bytes of a file (ulimit -f), where at least" in size
    assert both.startswith("40 open files (ulimit -n), where at least 64 are needed and 1000 bytes")
