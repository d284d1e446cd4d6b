"""Runs the quick tests with the lowest and with the newest dependencies that pyproject.toml allows.

    python -m integration.dependencies [lowest] [newest] [VERSION ...] [--lock]

Without a name: both, on the oldest and the newest supported Python of this machine; VERSION (3.10, say) chooses.
uv finds the versions. Lowest are those of what pyproject.toml names; what that needs, in the newest that fits.
Only wheels count: a release that has none for a Python is passed over. The dashboard has an environment of its own,
because what it needs asks for newer versions of what we need, too.

`--lock` writes requirements-dev.lock instead: each package for development in one version for every supported Python,
with hashes. `pip install --require-hashes -r requirements-dev.lock` installs them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from integration import pythons

LOCK = pythons.ROOT / "requirements-dev.lock"
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
TOOLS = ("pytest>=8.3", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
QUICK = (
    "-m",
    "not slow",
    "-n",
    "2",
    "--dist",
    "worksteal",
    "-q",
    "-p",
    "no:anyio",
    "-o",
    "filterwarnings=default",
)
"""What a dependency's own dependencies deprecate is not ours to fail on. The plugin of anyio comes with starlette and
is not used here."""


class Part(NamedTuple):
    """Extras that are installed together, and the tests that are for them."""

    name: str
    extras: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = (
    Part(
        "package",
        ("plot", "table", "sample", "adaptive", "metrics", "otel"),
        ("tests", "--ignore=tests/dashboard"),
    ),
    Part("dashboard", ("dashboard",), ("tests/dashboard",)),
)


def main(arguments: list[str]) -> int:
    """0 if all that was asked for passed."""
    parser = argparse.ArgumentParser(prog="python -m integration.dependencies")
    parser.add_argument("what", nargs="*", help="lowest, newest, versions of Python")
    parser.add_argument("--lock", action="store_true", help="write requirements-dev.lock")
    asked = parser.parse_args(arguments)
    if asked.lock:
        return lock()
    chosen = [name for name in RESOLUTIONS if name in asked.what] or list(RESOLUTIONS)
    versions = [name for name in asked.what if name not in RESOLUTIONS]
    failed = 0
    for version, python in interpreters(versions):
        for resolution in chosen:
            for part in PARTS:
                words = tried(python, resolution, part)
                print(f"{resolution} dependencies, {part.name}, Python {version}: {words}", flush=True)
                failed += "failed" in words
    return int(bool(failed))


def interpreters(versions: list[str]) -> Iterator[tuple[str, Path]]:
    """The Pythons that are asked for, or the oldest and the newest."""
    found = list(pythons.found().items())
    if not versions:
        yield from dict([found[0], found[-1]]).items()
    for wanted in versions:
        yield next(one for one in found if one[0].startswith(f"{wanted}.") or one[0] == wanted)


def tried(python: Path, resolution: str, part: Part) -> str:
    """What the quick tests say in an environment of those versions."""
    with tempfile.TemporaryDirectory() as place:
        pins = Path(place) / "pins.txt"
        own = Path(place) / "venv" / "bin" / "python"
        compiled = ("--no-annotate", "--no-header", "--output-file", str(pins))
        chosen = ("--python", str(python), "--only-binary", ":all:", "--resolution", RESOLUTIONS[resolution])
        steps: tuple[tuple[str, ...], ...] = (
            ("pip", "compile", "pyproject.toml", *extras(part), *chosen, *compiled),
            ("venv", "--python", str(python), str(own.parent.parent)),
            (
                "pip",
                "install",
                "--python",
                str(own),
                "--editable",
                ".",
                *TOOLS,
                "-r",
                str(pins),
                "-c",
                str(pins),
            ),
        )
        for step in steps:
            done = uv(*step)
            if done.returncode:
                return f"failed: uv {' '.join(step[:2])}: {done.stderr.strip()}"
        print(" ".join(named(pins.read_text())), flush=True)
        tests = run([str(own), "-m", "pytest", *part.tests, *QUICK])
    last = tests.stdout.strip().splitlines()[-1:] or [tests.stderr.strip()[-300:]]
    if tests.returncode:
        return f"failed: {last[0]}\n{tests.stdout[-6000:]}"
    return last[0]


def named(pins: str) -> list[str]:
    """The versions of what pyproject.toml itself names."""
    text = (pythons.ROOT / "pyproject.toml").read_text()
    own = {name.lower() for name in re.findall(r'^ *"([A-Za-z][\w-]*)(?:\[\w+\])?[><=]', text, re.MULTILINE)}
    return [line for line in pins.splitlines() if line.partition("==")[0] in own]


def extras(part: Part) -> list[str]:
    return [word for extra in part.extras for word in ("--extra", extra)]


def lock() -> int:
    """Write the lock file: one version of each package, for every supported Python."""
    oldest = f"3.{pythons.MINORS[0]}"
    wanted = ("--extra", "dev", "--universal", "--generate-hashes", "--python-version", oldest)
    told = ("--custom-compile-command", "python -m integration.dependencies --lock")
    done = uv("pip", "compile", "pyproject.toml", *wanted, *told, "--no-emit-index-url", "-o", str(LOCK))
    print(done.stderr.strip() if done.returncode else f"{LOCK.name} is written")
    return done.returncode


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "uv", "--quiet", *arguments])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """A command at the root of the checkout, with a state folder of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environ = {**os.environ, "COMPUTE_EXECUTOR_HOME": home, "COMPUTE_EXECUTOR_IDLE": "2"}
        return subprocess.run(
            command,
            cwd=pythons.ROOT,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
