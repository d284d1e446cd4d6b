"""A podman that can run something here, and an image made without a registry; or a plain word why there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from integration import debian

IMAGE = "localhost/compute-executor-integration:1"
SIX = "1.15.0"

LIMITED = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "{runtime}"
"""
"""For machines that may not raise limits (CAP_SYS_RESOURCE), which podman does unless it is told which to set."""


class Podman(NamedTuple):
    """``configuration``: the containers.conf that it needs here, or None."""

    configuration: Path | None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """podman with these arguments."""
        environ = dict(os.environ)
        if self.configuration is not None:
            environ["CONTAINERS_CONF"] = str(self.configuration)
        return subprocess.run(
            ["podman", *arguments], env=environ, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="session")
def installed() -> None:
    """podman is on PATH; root may install it."""
    if shutil.which("podman") is None:
        try:
            debian.install("podman", "crun", "runc", "netavark")
        except debian.CannotInstall as reason:
            pytest.skip(str(reason))


@pytest.fixture(scope="session")
def podman(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """One that runs the image, with the plainest configuration that does; the image goes at the end."""
    _import(tmp_path_factory.mktemp("image"))
    folder = tmp_path_factory.mktemp("configuration")
    reasons = []
    for one in (Podman(None), *(_limited(folder, name) for name in ("crun", "runc") if shutil.which(name))):
        tried = one.run("run", "--rm", "--network=host", "--entrypoint=python3", IMAGE, "-c", "print(6 * 7)")
        if tried.stdout.strip() == "42":
            yield one
            one.run("rmi", "--force", IMAGE)
            return
        reasons.append(tried.stderr.strip())
    pytest.skip(f"podman cannot run containers here: {'; '.join(reasons)}")


def _limited(folder: Path, runtime: str) -> Podman:
    configuration = folder / f"{runtime}.conf"
    configuration.write_text(LIMITED.format(runtime=runtime))
    return Podman(configuration)


def _import(root: Path) -> None:
    """The system's Python, the libraries it needs, pip and an old `six`, as an image."""
    python = Path(f"/usr/bin/python3.{sys.version_info[1]}")  # another one would not run our functions
    if not python.exists():
        pytest.skip(f"there is no {python} to make an image of")
    libraries = re.findall(r"(/\S+) \(0x", subprocess.check_output(["ldd", python], text=True))
    for file in [str(python), *libraries]:
        _copy(Path(file), root)
    (root / "usr" / "bin" / "python3").symlink_to(python.name)
    library = root / "usr" / "lib" / python.name
    shutil.copytree(
        Path("/usr/lib") / python.name, library, ignore=shutil.ignore_patterns("test", "__pycache__")
    )
    packages = root / "usr" / "lib" / "python3" / "dist-packages"
    wanted = ["--target", str(packages), "pip", f"six=={SIX}"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
    (root / "tmp").mkdir()
    archive = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["podman", "import", "-", IMAGE], stdin=archive.stdout, capture_output=True, check=True)
    archive.communicate()


def _copy(file: Path, root: Path) -> None:
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


@pytest.fixture
def configured(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Podman:
    """The service that a test starts uses this podman."""
    if podman.configuration is not None:
        monkeypatch.setenv("CONTAINERS_CONF", str(podman.configuration))
    return podman
