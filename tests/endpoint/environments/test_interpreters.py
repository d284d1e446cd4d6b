"""Finding a Python of the wanted version."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from compute_executor.endpoint.environments import interpreters
from compute_executor.endpoint.environments.recipes import OWN_PYTHON
from compute_executor.errors import PoolBroken
from tests.endpoint.programs import Programs, programs

__all__ = ["programs"]


def find(version: str) -> str:
    return asyncio.run(interpreters.find(version))


def test_our_own_comes_first(programs: Programs) -> None:
    programs.add(f"python{OWN_PYTHON}", "#!/bin/sh\nexit 1\n")
    assert find(OWN_PYTHON) == getattr(sys, "_base_executable", sys.executable)


def test_one_on_path_is_asked_whether_it_works(programs: Programs) -> None:
    found = programs.add("python3.77", "#!/bin/sh\necho 3.77.4\n")
    assert find("3.77") == str(found)
    assert find("3.77.4") == str(found)


def test_shims_that_lead_nowhere_are_passed_over(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("python3.77", "#!/bin/sh\necho 'pyenv: version not set' >&2; exit 127\n")
    python = tmp_path / "pyenv" / "versions" / "3.77.1" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.77.1\n")
    python.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find("3.77") == str(python)


def test_uv_is_asked(programs: Programs) -> None:
    python = programs.add("other", "#!/bin/sh\necho 3.77.2\n")
    programs.add("uv", f'#!/bin/sh\n[ "$*" = "python find 3.77" ] && echo {python}\n')
    assert find("3.77") == str(python)


def test_what_was_tried_is_said(programs: Programs) -> None:
    programs.add("python3.77", "#!/bin/sh\necho 'No module named ensurepip'; exit 1\n")
    with pytest.raises(PoolBroken, match=r"no Python 3\.77.*No module named ensurepip.*python3\.77 on PATH"):
        find("3.77")
    with pytest.raises(PoolBroken, match="nothing was found"):
        find("3.78")


def test_another_patch_level_is_another_version(programs: Programs) -> None:
    programs.add("python3.77", "#!/bin/sh\necho 3.77.4\n")
    with pytest.raises(PoolBroken, match=r"is 3\.77\.4"):
        find("3.77.5")
