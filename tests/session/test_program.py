"""What a program tells of itself, and is told of others."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from compute_executor.pool_spec import as_of_now, pool_spec
from compute_executor.protocol.frames import ForgottenWork, ProgramInfo
from compute_executor.session import program
from compute_executor.session.program import LONGEST, describe, forgotten_notice
from compute_executor.surroundings import unpack

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def _nothing_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_shown", set())


SHOW = "from compute_executor.session.program import describe; print(describe('x').name)"


def shown(*arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_a_script_a_module_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fit.py").write_text(SHOW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert shown(str(tmp_path / "fit.py")) == str(tmp_path / "fit.py")
    assert shown("-m", "fit") == "-m fit"
    assert shown("-c", SHOW) == "-c"
    assert shown("-", stdin=SHOW) == "-"


def test_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/fit.ipynb")
    assert describe("").name == "/home/ann/fit.ipynb"
    monkeypatch.setitem(sys.modules, "__main__", types.SimpleNamespace(__vsc_ipynb_file__="/other.ipynb"))
    assert describe("").name == "/other.ipynb"


def test_odd_text_is_sent_all_the_same() -> None:
    assert describe("\udcff").label == "\\udcff"
    assert len(describe("x" * 1000).label) == LONGEST
    found = describe("fit")
    assert (found.label, found.host, found.pid) == ("fit", HOST, os.getpid())


def test_a_user_is_told_of_forgotten_work_once() -> None:
    work = [
        ForgottenWork(
            "11111111-2222-4333-8444-555555555555", 1234, ProgramInfo("fit", "/x/fit.py", "elsewhere", 1)
        ),
        ForgottenWork("21111111-2222-4333-8444-555555555555", 1, ProgramInfo()),
    ]
    notice = forgotten_notice(work)
    assert "1,234 tasks of /x/fit.py (fit); end them: compute-executor cancel 11111111" in notice
    assert "1 task of a program; end them" in notice
    assert forgotten_notice(work) == ""


def test_what_runs_still_has_forgotten_nothing() -> None:
    here = ProgramInfo("", "/x.py", HOST, os.getpid())
    assert forgotten_notice([ForgottenWork("a", 3, here), ForgottenWork("b", 0, ProgramInfo())]) == ""


def test_a_program_of_this_machine_that_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert "3 tasks" in forgotten_notice([ForgottenWork("a", 3, ProgramInfo("", "/x.py", HOST, gone.pid))])


def test_a_process_of_another_user_is_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert forgotten_notice([ForgottenWork("a", 3, ProgramInfo("", "/x.py", HOST, 1))]) == ""


def test_workers_see_what_the_program_sees_at_the_first_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known: list[int] = []
    spec = pool_spec(1, known.append, (), "label", "program")
    monkeypatch.setattr(logging.getLogger("set later"), "level", 5)
    monkeypatch.setenv("SET_LATER", "1")
    monkeypatch.chdir(tmp_path)
    assert "set later" not in unpack(spec.surroundings)["levels"]

    known.append(1)
    found = as_of_now(spec, known.append, ())
    assert unpack(found.surroundings)["levels"]["set later"] == 5
    assert (found.environ["SET_LATER"], found.cwd, found.max_workers) == ("1", str(tmp_path), 1)
    assert found.initializer != spec.initializer
    into_log = pool_spec(1, None, (), "", "log")
    assert "levels" not in unpack(as_of_now(into_log, None, ()).surroundings)


def test_a_module_that_uses_an_executor_when_it_is_imported_starts_no_workers_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unguarded.py").write_text(
        "import os\nfrom compute_executor import Executor\ndef same(x): return x\n"
        "with open('imported', 'a') as file: file.write(f'{os.getpid()}\\n')\n"
        "with Executor(max_workers=1) as ex: print(list(ex.map(same, range(3))))\n"
    )
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import unguarded"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "UsedInImport: module unguarded (" in done.stderr
    assert 'under if __name__ == "__main__"' in done.stderr
    importers = (tmp_path / "imported").read_text().split()
    assert len(set(importers)) <= 3, "the program, and the workers of its Executor"
