"""Builds what would be released, and tries it as a user who has only that.

    python -m integration.release [VERSION ...]

A wheel and a source distribution are built into dist/. Each is installed into a bare environment of every Python of
this machine (or of those whose version begins as given), and there, outside the source tree: the command line says
its version, and the three lines of the README run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from integration import pythons

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
THREE_LINES = """
from compute_executor import Executor

if __name__ == "__main__":
    with Executor() as ex:
        print(list(ex.map(pow, range(5), [2] * 5)))
"""


def main(wanted: list[str]) -> int:
    """0 if everything that was built works everywhere."""
    built = build()
    found = {
        version: python
        for version, python in pythons.found().items()
        if not wanted or any(version.startswith(one) for one in wanted)
    }
    failed = 0
    for version, python in found.items():
        for package in built:
            trouble = tried(python, package)
            print(f"Python {version}, {package.name}: {trouble or 'works'}", flush=True)
            failed += bool(trouble)
    if absent := pythons.absent(pythons.found()):
        print(f"not tried, as they are not here: {', '.join(absent)}")
    return int(bool(failed or not found))


def build() -> list[Path]:
    """The wheel and the source distribution, checked for what they must have."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.iterdir())], check=True
    )
    return sorted(DIST.iterdir())


def tried(python: Path, package: Path) -> str:
    """What is wrong with a package in an environment that has nothing else; "" if it works."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        own = folder / "venv" / "bin" / "python"
        script = folder / "three_lines.py"
        script.write_text(THREE_LINES)
        steps = (
            ([str(python), "-m", "venv", str(folder / "venv")], None),
            (
                [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(package)],
                None,
            ),
            ([str(own), "-m", "pip", "check"], None),
            ([str(own.parent / "compute-executor"), "--version"], "compute-executor, version"),
            ([str(own), str(script)], "[0, 1, 4, 9, 16]"),
            ([str(own.parent / "compute-executor"), "stop", "--discard"], "Stopped"),
        )
        for command, answer in steps:
            if trouble := failure(command, answer, folder):
                return trouble
    return ""


def failure(command: list[str], answer: str | None, folder: Path) -> str:
    """Why a command failed, or did not say ``answer``; "" if all is well."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    environ["COMPUTE_EXECUTOR_HOME"] = str(folder / "home")
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode or (answer and answer not in done.stdout):
        return f"{' '.join(command[1:])} failed ({done.returncode}): {done.stdout}{done.stderr}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
