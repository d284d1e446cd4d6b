"""The Pythons of this machine, and virtual environments of them that have this project installed.

Used by everything under integration/ that must run outside the environment of the test runner: the CPython
tests and the contract tests on every supported version, and the tools with their own dependencies. The
environments live in `.venvs/` of the checkout and are made again when what they were made of has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"
MINORS = (10, 11, 12, 13)
"""The versions of Python 3 that the project supports (pyproject.toml, classifiers)."""


def found() -> dict[str, Path]:
    """Full version to interpreter: always the running one, then one of each other minor version that is here."""
    pythons = {_version(Path(sys.executable)) or "": Path(sys.executable)}
    for minor in MINORS:
        if minor == sys.version_info.minor:
            continue
        for candidate in (*_of_pyenv(minor), *_on_path(minor)):
            version = _version(candidate)
            if version and version.startswith(f"3.{minor}."):
                pythons[version] = candidate
                break
    return dict(sorted(pythons.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def absent(found: dict[str, Path]) -> list[str]:
    """The supported minor versions that `found` has nothing of."""
    here = {version.rpartition(".")[0] for version in found}
    return [f"3.{minor}" for minor in MINORS if f"3.{minor}" not in here]


def environment(python: Path, name: str, *requirements: str) -> Path:
    """The interpreter of the virtual environment `name` of `python`, with this project and `requirements` in it."""
    folder = ENVIRONMENTS / f"{name}-{_version(python)}"
    stamp, content = folder / "made-of", _content(requirements)
    with _making:
        if not stamp.exists() or stamp.read_text() != content:
            shutil.rmtree(folder, ignore_errors=True)
            ENVIRONMENTS.mkdir(exist_ok=True)
            (ENVIRONMENTS / ".gitignore").write_text("*\n")
            subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
            _install(folder, "--editable", str(ROOT), *requirements)
            stamp.write_text(content)
    return folder / "bin" / "python"


_making = threading.Lock()
"""One environment is made at a time: two jobs may want the same one."""


def _install(folder: Path, *arguments: str) -> None:
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
    ]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT)


def _content(requirements: tuple[str, ...]) -> str:
    """What an environment is made of, as a digest: the dependencies of the project and the requirements."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    for requirement in requirements:
        path = ROOT / requirement
        digest.update(path.read_bytes() if path.is_file() else requirement.encode())
    return digest.hexdigest()


def _of_pyenv(minor: int) -> list[Path]:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    newest_first = sorted(
        versions.glob(f"3.{minor}.*"),
        key=lambda path: int(path.name.split(".")[2].split("-")[0]),
        reverse=True,
    )
    return [path / "bin" / "python" for path in newest_first]


def _on_path(minor: int) -> list[Path]:
    path = shutil.which(f"python3.{minor}")
    return [Path(path)] if path else []


def _version(python: Path) -> str | None:
    """The full version of an interpreter; None if it does not run (a shim without a version behind it)."""
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
