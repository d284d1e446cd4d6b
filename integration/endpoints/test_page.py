"""The page about Slurm, executed: its commands and its program, on a real Slurm."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.endpoints.slurm import NoSlurm, OneNodeSlurm
from tests.contract.work import wait_until
from tests.endpoint.agent.running import environment, run

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "slurm.md"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNodeSlurm]:
    pytest.importorskip("parsl")
    try:
        made = OneNodeSlurm(tmp_path_factory.mktemp("slurm"))
        made.up()
    except NoSlurm as error:
        pytest.skip(f"no Slurm: {error}")
    yield made
    made.down()


def test_the_page_about_slurm(cluster: OneNodeSlurm, tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (console,) = CONSOLE.findall(text)
    commands = [line[2:] for line in console.splitlines() if line.startswith("$ compute-executor")]
    assert len(commands) == 1
    words = shlex.split(commands[0])[2:]
    started = run(*words, **cluster.environment)
    assert started.returncode == 0, started.stderr
    try:
        (program,) = PROGRAM.findall(text)
        (tmp_path / "three_lines.py").write_text(program)
        done = subprocess.run(
            [sys.executable, "three_lines.py"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{[number**2 for number in range(10)]}\n"
        assert cluster.jobs(), "it ran in a job"
        shown = run("status", "hpc", "--json", **cluster.environment).stdout
        (job,) = cluster.jobs()
        assert job in shown
        wait_until(lambda: f"{job} running" in " ".join(run("status", "hpc").stdout.split()))
        written = json.loads(run("logs", "hpc", "--block", job, "--json").stdout)["files"]
        assert {Path(path).suffix for path in written} == {".stdout", ".stderr"}
        assert f"job {job}" in run("logs", "hpc", "--block", "no such").stderr
    finally:
        assert run("stop", "hpc", **cluster.environment).returncode == 0
    assert cluster.jobs() == [], "its jobs end with it"


def test_a_wrong_partition_is_told_in_slurms_words(cluster: OneNodeSlurm) -> None:
    ended = run("start", "wrong", "--engine", "slurm", "--partition", "none", **cluster.environment)
    assert ended.returncode in (1, 2)
    assert "invalid partition" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_slurm_it_is_told() -> None:
    pytest.importorskip("parsl")
    ended = run("start", "wrong", "--engine", "slurm", PATH=os.path.dirname(sys.executable))
    assert "sbatch is not found" in ended.stderr
