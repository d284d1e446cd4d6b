"""Which images can be run, and how."""

from __future__ import annotations

import asyncio
import os

import pytest

from compute_executor.endpoint.environments import runtimes
from compute_executor.endpoint.environments.runtimes import Mount
from compute_executor.errors import InvalidRequest
from tests.endpoint.programs import Programs, programs

__all__ = ["programs"]


def find(kind: str) -> str:
    return asyncio.run(runtimes.find(kind))


def test_the_program_of_that_name_comes_first(programs: Programs) -> None:
    podman, docker = programs.add_runtime("podman"), programs.add_runtime("docker")
    assert (find("podman"), find("docker")) == (str(podman), str(docker))


def test_podman_runs_what_docker_would(programs: Programs) -> None:
    podman = programs.add_runtime("podman")
    programs.add("docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    assert find("docker") == str(podman)


def test_what_cannot_be_run_is_said_with_what_can(programs: Programs) -> None:
    programs.add_runtime("podman")
    with pytest.raises(
        InvalidRequest,
        match=r"singularity is not installed.*virtual environments.*docker images, podman images",
    ):
        find("singularity")


def test_a_program_that_does_not_work_counts_as_none(programs: Programs) -> None:
    programs.add("docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    with pytest.raises(
        InvalidRequest,
        match=r"(?m)docker does not work \(Cannot connect.*It can run: virtual environments \(build_container\)$",
    ):
        find("docker")


def test_what_a_container_is_given() -> None:
    mounts = [Mount("/a", "/b"), Mount("/c", "/d", writable=True)]
    assert runtimes.command("/usr/bin/podman", "image", "python3", mounts) == [
        "/usr/bin/podman",
        "run",
        "--rm",
        "--pull=never",
        "--network=host",
        "--user=0:0",
        "--security-opt=label=disable",
        "--mount=type=bind,source=/a,target=/b,readonly",
        "--mount=type=bind,source=/c,target=/d",
        "--entrypoint=python3",
        "image",
    ]
    assert f"--user={os.getuid()}:{os.getgid()}" in runtimes.command(
        "/bin/docker", "image", "python3", mounts
    )
    assert runtimes.command("/bin/apptainer", "image.sif", "python3", mounts) == [
        "/bin/apptainer",
        "exec",
        "--containall",
        "--bind=/a:/b:ro",
        "--bind=/c:/d:rw",
        "image.sif",
        "python3",
    ]
