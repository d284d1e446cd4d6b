"""Virtual environments: with programs that pretend, and one for real."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments import recipes, virtual
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.environments import Environments
from compute_executor.endpoint.environments.recipes import RecipeDocument
from compute_executor.errors import PoolBroken
from tests.endpoint.programs import Programs, programs

__all__ = ["programs"]

PYTHON = """#!/bin/sh
case "$*" in
  "-c import"*) echo 3.77.1;;
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
  "-m pip install"*) echo "pip $*"; case "$*" in *missing*) echo "No matching distribution"; exit 1;; esac;;
esac
"""


def build(folder: Path, **fields: Any) -> Environment:
    source = recipes.recipe(RecipeDocument(python_version="3.77", **fields))
    return asyncio.run(virtual.build(source, folder, BuildLog(folder / "log")))


@pytest.fixture
def python(programs: Programs) -> Path:
    for name in ("mkdir", "cp"):
        (programs.folder / name).symlink_to(f"/bin/{name}")
    return programs.add("python3.77", PYTHON)


def test_venv_then_pip(python: Path, tmp_path: Path) -> None:
    found = build(tmp_path, pip=["six==1.15.0", "attrs"])
    assert found == Environment(f"{tmp_path}/venv/bin/python", "3.77")
    log = (tmp_path / "log").read_text()
    assert "pip -m pip install --no-input --disable-pip-version-check attrs six==1.15.0" in log


def test_without_packages_pip_is_not_asked(python: Path, tmp_path: Path) -> None:
    build(tmp_path)
    assert "pip install" not in (tmp_path / "log").read_text()


def test_a_package_that_does_not_exist(python: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match=r"(?s)python ended with 1.*No matching distribution"):
        build(tmp_path, pip=["missing"])


def test_a_python_that_does_not_exist(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match=r"no Python 3\.77"):
        build(tmp_path)


def test_a_payload_that_does_not_exist(python: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match="cannot be unpacked"):
        build(tmp_path, payload_url="http://127.0.0.1:9/no.zip")


def test_conda_packages_by_what_makes_them(programs: Programs, tmp_path: Path) -> None:
    programs.add("micromamba", "#!/bin/sh\necho micromamba $*\n")
    found = build(tmp_path, conda=["numpy"])
    assert found.python == f"{tmp_path}/venv/bin/python"
    words = f"micromamba create --yes --prefix {tmp_path}/venv --channel conda-forge python=3.77 pip numpy"
    assert words in (tmp_path / "log").read_text()


def test_conda_packages_without_it(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match="need one of micromamba, mamba, conda"):
        build(tmp_path, conda=["numpy"])


@pytest.mark.slow
def test_a_real_one_has_the_version_asked_for_and_nothing_of_ours(tmp_path: Path) -> None:
    async def scenario() -> Environment:
        found = Environments(tmp_path / "environments")
        try:
            return await found.ready(recipes.recipe(RecipeDocument(pip=["six==1.15.0"])))
        finally:
            await found.close()

    python = asyncio.run(scenario()).python
    look = "import six, importlib.util as u; print(six.__version__, u.find_spec('msgspec'))"
    assert subprocess.check_output([python, "-c", look], text=True).split() == ["1.15.0", "None"]
