"""The pages about endpoints, executed: their commands and programs, on real engines and services."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from compute_executor import Executor
from compute_executor.errors import PoolBroken
from compute_executor.local.state import read_announcement
from integration.endpoints.engines import FACTORY, PARSL, DaskCluster
from integration.endpoints.pages import Page, run_program
from integration.endpoints.slurm import NoSlurm, OneNodeSlurm
from tests.contract.work import wait_until
from tests.endpoint.agent.running import RunningEndpoint, environment, run
from tests.sdk.http.test_direct import self_signed


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
    page = Page("slurm.md")
    (words,) = page.commands("compute-executor endpoint")
    started = run(*words, **cluster.environment)
    assert started.returncode == 0, started.stderr
    try:
        (program,) = page.programs
        assert run_program(program, tmp_path) == f"{[number**2 for number in range(10)]}\n"
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


def test_a_line_that_sbatch_does_not_know_is_told_at_the_start(
    cluster: OneNodeSlurm, shared_home: Path
) -> None:
    file = shared_home / "endpoints" / "wrong" / "endpoint.toml"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text('engine = "slurm"\npartition = "main"\nscheduler_options = "#SBATCH --bogus=1"\n')
    try:
        ended = run("start", "wrong", **cluster.environment)
        assert ended.returncode in (1, 2)
        assert "unrecognized option '--bogus=1'" in ended.stderr
    finally:
        shutil.rmtree(file.parent)


def test_a_module_that_is_not_there_is_told_with_the_tasks(cluster: OneNodeSlurm) -> None:
    """In the words of the job, where the commands end it as the page says."""
    init = ("--worker-init", "module load none || exit 1")
    started = run("start", "modules", "--engine", "slurm", *init, "--detach", **cluster.environment)
    try:
        assert started.returncode == 0, started.stderr
        with Executor("modules") as executor, pytest.raises(PoolBroken, match="module: command not found"):
            executor.submit(pow, 2, 2).result(120)
    finally:
        assert run("stop", "modules", **cluster.environment).returncode == 0
    assert cluster.jobs() == []


def test_without_slurm_it_is_told() -> None:
    pytest.importorskip("parsl")
    ended = run("start", "wrong", "--engine", "slurm", PATH=os.path.dirname(sys.executable))
    assert "sbatch is not found" in ended.stderr


# -- several workstations ---------------------------------------------------------------------------------


class Lab(NamedTuple):
    """A service with TLS that people reach with a token. ``environment``: of somebody who trusts its certificate."""

    url: str
    environment: dict[str, str]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder, (certificate, key) = tmp_path / "lab", self_signed(tmp_path)
    program = [sys.executable, "-m", "compute_executor"]
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    chosen = ("--state", str(folder), "--port", "0", "--auth", "token", "--durability", "process")
    process = subprocess.Popen([*program, "serve", *chosen, *tls], env=environment())
    try:
        wait_until(lambda: read_announcement(folder) is not None)
        announced = read_announcement(folder)
        assert announced is not None
        of_ann = [["user", "add", "ann"], ["token", "new", "ann"]]
        said = [
            subprocess.run(
                [*program, *words, "--state", str(folder)],
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for words in of_ann
        ]
        trusting = {"SSL_CERT_FILE": str(certificate), "GLOBUS_SDK_VERIFY_SSL": str(certificate)}
        url = announced.url.replace("127.0.0.1", "localhost")  # the name in the certificate
        yield Lab(url, {"COMPUTE_EXECUTOR_TOKEN": said[1], **trusting})
    finally:
        process.terminate()
        process.wait(30)


def test_the_page_about_several_workstations(lab: Lab, tmp_path: Path) -> None:
    token = lab.environment["COMPUTE_EXECUTOR_TOKEN"]
    instead = {"https://lab.example.org:8443": lab.url, 'token="..."': f'token="{token}"'}
    page = Page("workstations.md", instead)
    desk, attic, farm, joins, *looks = page.commands("compute-executor endpoint")
    on_desk, on_attic = page.programs
    # on one machine
    here = RunningEndpoint(*desk[1:])
    try:
        assert here.said == page.answer_to("compute-executor endpoint start desk")
        assert run_program(on_desk, tmp_path) == "1024\n"
        for other in ('Executor(endpoint_id="desk")', 'Executor().options(endpoint_id="desk")'):
            assert run_program(on_desk.replace('Executor("desk")', other), tmp_path) == "1024\n"
    finally:
        assert here.end()[0] == 0
    # on another one
    away = {**lab.environment, "COMPUTE_EXECUTOR_HOME": str(tmp_path / "attic")}
    started = run(*attic, **away)
    try:
        assert started.returncode == 0, started.stderr
        shown = page.answer_to("compute-executor endpoint start attic")
        assert started.stdout.partition("(pid")[0] == shown.partition("(pid")[0]
        done = "\nwith ex:\n    print(ex.submit(pow, 2, 10).result())\n"
        assert run_program(on_attic + done, tmp_path, **lab.environment) == "1024\n"
        assert run("restart", "attic", **away).returncode == 0
    finally:
        assert run("stop", "attic", **away).returncode == 0
    assert (tmp_path / "attic" / "endpoints" / "attic" / "endpoint.toml").exists(), "where the page says"
    # two under one name
    first = {**lab.environment, "COMPUTE_EXECUTOR_HOME": str(tmp_path / "first")}
    second = {**lab.environment, "COMPUTE_EXECUTOR_HOME": str(tmp_path / "second")}
    with ExitStack() as machines:
        near = RunningEndpoint(*farm[1:], **first)
        machines.callback(near.end)
        refused = run(*[word for word in joins if word != "--join"], **second)
        assert (refused.returncode, "--join" in refused.stderr) == (1, True)
        beside = RunningEndpoint(*joins[1:], **second)
        machines.callback(beside.end)
        assert "is connected" in beside.said
        both = on_attic.replace('"attic"', '"farm"') + (
            "\nimport os, time\n\ndef where(_):\n    time.sleep(0.02)\n    return os.getppid()\n\n"
            "with ex:\n    print(len(set(ex.map(where, range(200)))))\n"
        )
        assert run_program(both, tmp_path, **lab.environment) == "2\n"
        # looking and ending
        assert [words[0] for words in looks] == ["list", "status", "logs", "stop", "delete"]
        ended = {words[0]: run(*words, **first) for words in looks[:4]}
        assert {one.returncode for one in ended.values()} == {0}, ended
        assert "2" in ended["status"].stdout
        assert near.wait()[0] == 0
        assert run("stop", "farm", "--everywhere", **first).returncode == 0
        assert beside.wait()[0] == 0
        assert run(*looks[4], **first).returncode == 0
        assert "there is no endpoint" in run("status", "farm", **first).stderr


# -- an engine that is there ------------------------------------------------------------------------------


@pytest.fixture
def engine_of_page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What there is in place of what the page names."""
    with ExitStack() as stack:
        if request.param == "dask":
            pytest.importorskip("distributed")
            yield {"tcp://host:8786": DaskCluster(tmp_path, stack).address}
            return
        if request.param.startswith("Parsl"):
            pytest.importorskip("parsl")
            (tmp_path / "config.py").write_text(PARSL)
        elif request.param == "MPI":
            pytest.importorskip("mpi4py")
            yield {"--ranks 16": "--ranks 2"}
            return
        elif request.param == "Ray":
            pytest.importorskip("ray")
            ray = str(Path(sys.executable).with_name("ray"))
            started = [ray, "start", "--head", "--num-cpus=2", "--port=0", "--include-dashboard=false"]
            subprocess.run(started, env=environment(), check=True, capture_output=True)
            stack.callback(lambda: subprocess.run([ray, "stop", "--force"], check=True, capture_output=True))
        else:
            (tmp_path / "file.py").write_text(FACTORY)
        yield {}


CLUSTERS = Page("clusters.md").rows("engine")
SUM = """
from compute_executor import Executor

with Executor("NAME") as ex:
    print(sum(ex.map(abs, range(10))))
"""


@pytest.mark.parametrize("engine_of_page", CLUSTERS, indirect=True)
def test_the_page_about_clusters(
    engine_of_page: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    start = CLUSTERS[request.node.callspec.params["engine_of_page"]]
    for shown, real in engine_of_page.items():
        assert shown in start
        start = start.replace(shown, real)
    words = shlex.split(start.replace("... ", "compute-executor endpoint start NAME "))
    assert words[:3] == ["compute-executor", "endpoint", "start"]
    endpoint = RunningEndpoint(*words[3:])
    try:
        assert "is connected" in endpoint.said, endpoint.end()
        assert run_program(SUM, tmp_path) == "45\n"
        for look in Page("clusters.md").rows("look at").values():
            _, *command = shlex.split(look)
            looked = subprocess.run(
                [sys.executable, "-m", "compute_executor", *command],
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            no_job = "--block" in command and "Only jobs of a batch system" in looked.stderr
            assert looked.returncode == 0 or no_job, looked
    finally:
        assert endpoint.end()[0] == 0
    assert run("delete", "NAME").returncode == 0
