"""Packages of Debian that tests need, installed where root asks for them."""

from __future__ import annotations

import os
import shutil
import subprocess

PATIENCE = 600
"""Seconds to wait while somebody else installs something: two parts of integration.run may install at once."""


class CannotInstall(Exception):
    """What these tests need is not here and cannot be installed."""


def install(*packages: str) -> None:
    """Install `packages`. Raises CannotInstall, with the end of what apt-get said."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        wanted = ", ".join(packages)
        raise CannotInstall(f"{wanted} is not here; as root on Debian it would be installed by apt-get")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wait = ("-o", f"DPkg::Lock::Timeout={PATIENCE}")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *wait, *command], env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotInstall(f"apt-get {command[0]}: {done.stderr.strip()[-300:]}")
