"""Builds what would be released, and tries it as a user who has only that.

    python -m integration.release [VERSION ...]

A wheel and a source distribution are built into dist/. Each is installed into a bare environment of every Python of
this machine (or of those whose version begins as given), and there, outside the source tree: the command line says
its version and explains an error, and the three lines of the README run. With the wheel, the tests of the user guide
and the contract tests that take less than a second run on it too, from a copy of the tests. Of the wheel's own
environment on this Python a bill of materials (CycloneDX) is written into dist/, and pip-audit looks whether anything
in it is known to be vulnerable, where it reaches its data. The conda recipe is rendered; to build it takes
conda-forge.

`python -m integration.dependencies` is the other half of a release: all quick tests with the lowest and the newest
dependencies.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rattler_build import RattlerBuildError, Stage0Recipe

from integration import pythons
from integration.dependencies import TOOLS

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
THREE_LINES = """
from compute_executor import Executor

if __name__ == "__main__":
    with Executor() as ex:
        print(list(ex.map(pow, range(5), [2] * 5)))
"""
OUTSIDE = ("tests/test_guide.py", "tests/contract")
"""Tests that look at the installed package only; they are copied beside it, without the sources."""


class Step(NamedTuple):
    """A command, and what its output must have in it."""

    command: list[str]
    answer: str = ""


def main(wanted: list[str]) -> int:
    """0 if everything that was built works everywhere."""
    built = build()
    found = {
        version: python
        for version, python in pythons.found().items()
        if not wanted or any(version.startswith(one) for one in wanted)
    }
    troubles = [
        told(f"Python {version}, {package.name}", tried(python, package))
        for version, python in found.items()
        for package in built
    ]
    troubles += [told(*one) for one in described(built)]
    if absent := pythons.absent(pythons.found()):
        print(f"not tried, as they are not here: {', '.join(absent)}")
    return int(any(troubles) or not found)


def told(what: str, trouble: str) -> bool:
    """Say how something went; whether there is trouble. What could not be done is none, but is said."""
    print(f"{what}: {trouble or 'works'}", flush=True)
    return bool(trouble) and not trouble.startswith(NOT_DONE)


NOT_DONE = "not done: "


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
        program = str(own.parent / "compute-executor")
        script = folder / "three_lines.py"
        script.write_text(THREE_LINES)
        steps = [
            *installed(python, package, folder),
            Step([str(own), "-m", "pip", "check"]),
            Step([program, "--version"], "compute-executor, version"),
            Step([program, "explain", "WorkerLost"], "Remedy."),
            Step([str(own), str(script)], "[0, 1, 4, 9, 16]"),
            Step([program, "stop", "--discard"], "Stopped"),
        ]
        if package.suffix == ".whl":
            steps += tests_outside(own, folder)
        return first_failure(steps, folder)


def installed(python: Path, package: Path, folder: Path) -> list[Step]:
    """A virtual environment in ``folder`` with a package in it."""
    own = folder / "venv" / "bin" / "python"
    return [
        Step([str(python), "-m", "venv", str(folder / "venv")]),
        Step([str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(package)]),
    ]


def tests_outside(own: Path, folder: Path) -> list[Step]:
    """The tests of what is installed, from a copy that has no sources beside it."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return [
        Step([str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS]),
        Step(
            [str(own), "-m", "pytest", *OUTSIDE, "-q", "-n", "2", "-m", "not slow", "-k", "not fake"],
            " passed",
        ),
    ]


def described(built: list[Path]) -> list[tuple[str, str]]:
    """What is written and asked about what a user gets with the wheel, each with its trouble."""
    wheel = next(package for package in built if package.suffix == ".whl")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if trouble := first_failure(installed(Path(sys.executable), wheel, folder), folder):
            return [("the environment that is described", trouble)]
        return [
            ("bill of materials", bill_of_materials(folder, wheel)),
            ("pip-audit", audited(folder)),
            ("conda recipe", rendered()),
        ]


def bill_of_materials(folder: Path, wheel: Path) -> str:
    """Write dist/NAME-VERSION.cdx.json: everything that is installed with the wheel."""
    target = DIST / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json"
    tool = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--mc-type",
        "library",
    ]
    told = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(target), str(folder / "venv")]
    if trouble := first_failure([Step([*tool, *told])], folder):
        return trouble
    names = {one["name"] for one in json.loads(target.read_text())["components"]}
    return "" if "cloudpickle" in names else f"{target.name} has no cloudpickle, which is installed"


def audited(folder: Path) -> str:
    """What pip-audit knows against what is installed with the wheel."""
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--path",
        str(packages),
        "--format",
        "json",
        "--timeout",
        "10",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return f"{NOT_DONE}its data cannot be reached: {done.stderr.strip()[-200:]}"
    known = [one for one in found if "vulns" in one]
    if not known:
        return f"{NOT_DONE}its data cannot be reached: {found[0].get('skip_reason', '')}"
    return "; ".join(
        f"{one['name']} {one['version']}: {', '.join(each['id'] for each in one['vulns'])}"
        for one in known
        if one["vulns"]
    )


def rendered() -> str:
    """What is wrong with recipe/recipe.yaml. It is not built: that needs the packages of conda-forge."""
    try:
        return (
            "" if Stage0Recipe.from_file(ROOT / "recipe" / "recipe.yaml").render() else "it makes no package"
        )
    except RattlerBuildError as error:
        return str(error)


def first_failure(steps: list[Step], folder: Path) -> str:
    """Why the first of these that failed did, or what it did not say; "" if all is well."""
    return next((trouble for step in steps if (trouble := failure(step, folder))), "")


def failure(step: Step, folder: Path) -> str:
    """Why a command failed, or did not say its answer; "" if all is well."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    environ["COMPUTE_EXECUTOR_HOME"] = str(folder / "home")
    done = subprocess.run(step.command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode or step.answer not in done.stdout:
        told = f"{done.stdout}{done.stderr}"[-6000:]
        return f"{' '.join(step.command[1:])} failed ({done.returncode}): {told}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
