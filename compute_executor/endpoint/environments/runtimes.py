"""The programs that run images: which there are, which of them work, and how they are told to start a worker."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from compute_executor.endpoint.environments import commands
from compute_executor.errors import InvalidRequest

CAN_RUN = {
    "docker": ("docker", "podman"),
    "podman": ("podman", "docker"),
    "singularity": ("singularity", "apptainer"),
    "apptainer": ("apptainer", "singularity"),
}
"""For each kind of image, the programs that run it, the preferred one first."""

_PROBES = {
    "docker": ("info", "--format", "{{.ServerVersion}}"),  # asks the daemon, without which it can do nothing
    "podman": ("info", "--format", "{{.Host.OCIRuntime.Name}}"),
    "singularity": ("--version",),
    "apptainer": ("--version",),
}


class Mount(NamedTuple):
    """A file or folder that a container sees, at ``target``; it may write there if ``writable``."""

    source: str
    target: str
    writable: bool = False


async def find(kind: str) -> str:
    """Return the path of the program for a kind of image. Raises InvalidRequest saying what this endpoint can run."""
    reasons = []
    for name in CAN_RUN[kind]:
        trouble = await _trouble(name)
        if not trouble:
            return str(shutil.which(name))
        reasons.append(f"{name} {trouble}")
    raise InvalidRequest(
        f"this endpoint cannot run {kind} images: {'; '.join(reasons)}. It can run: {', '.join(await runnable())}"
    )


async def runnable() -> list[str]:
    """Return everything that workers can be started in here."""
    troubles = await asyncio.gather(*map(_trouble, _PROBES))
    working = {name for name, trouble in zip(_PROBES, troubles, strict=True) if not trouble}
    kinds = [kind for kind, programs in CAN_RUN.items() if working.intersection(programs)]
    return ["virtual environments (build_container)", *(f"{kind} images" for kind in kinds)]


async def _trouble(name: str) -> str:
    """Return why a program cannot be used; "" if it can."""
    path = shutil.which(name)
    if path is None:
        return "is not installed"
    code, text = await commands.output(path, *_PROBES[name])
    return "" if code == 0 else f"does not work ({' '.join(text.split())[-300:]})"


def is_oci(runtime: str) -> bool:
    """Return whether it is podman or docker, which keep images by name."""
    return os.path.basename(runtime) in ("podman", "docker")


def command(runtime: str, image: str, python: str, mounts: Sequence[Mount]) -> list[str]:
    """Return the command line that runs ``python`` in a container of ``image``; its arguments are to be appended.

    The container has the network of the host, as all workers have, and no privilege that the endpoint lacks. It
    runs as us: root in a container of rootless podman is its user outside, a docker container is given our ids.
    """
    name = os.path.basename(runtime)
    if not is_oci(runtime):
        binds = [
            f"--bind={mount.source}:{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in mounts
        ]
        return [runtime, "exec", "--containall", *binds, image, python]
    user = "0:0" if name == "podman" else f"{os.getuid()}:{os.getgid()}"
    options = ["--rm", "--pull=never", "--network=host", f"--user={user}", "--security-opt=label=disable"]
    binds = [
        f"--mount=type=bind,source={mount.source},target={mount.target}"
        + ("" if mount.writable else ",readonly")
        for mount in mounts
    ]
    return [runtime, "run", *options, *binds, f"--entrypoint={python}", image]
