"""Programs that stand in for others: shell scripts in a folder that a test puts on PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from compute_executor.endpoint.pool.launch import INSIDE, PACKAGE

INTERPRETER = f"#!/bin/sh\nexec {sys.executable} "

RUNTIME = rf"""#!/bin/sh
# podman without containers: `info` works, the image `here` exists, `run` starts the program after the image
echo "$(basename $0) $@" >> {{calls}}
case "$1 $2" in
  "info --format") echo crun;;
  "image inspect") [ "$3" = here ] || [ -e {{folder}}/built ];;
  "build "*) touch {{folder}}/built; cat "${{{{3#--file=}}}}";;
  "pull "*) echo "no such image: $2" >&2; exit 125;;
  run*) shift $(($# - 2))
        exec {sys.executable} "{PACKAGE}${{{{1#{INSIDE}/{PACKAGE.name}}}}}" "$2";;
esac
"""


class Programs:
    """``add`` one; only these and the system's are on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "calls"

    def add(self, name: str, script: str) -> Path:
        path = self.folder / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def add_runtime(self, name: str = "podman") -> Path:
        return self.add(name, RUNTIME.format(folder=self.folder, calls=self.log))

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A folder of its own, before an otherwise nearly empty PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("basename", "touch", "cat", "sh", "sleep"):
        (folder / name).symlink_to(
            next(p for p in (Path("/bin") / name, Path("/usr/bin") / name) if p.exists())
        )
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", os.devnull)
    return Programs(folder)
