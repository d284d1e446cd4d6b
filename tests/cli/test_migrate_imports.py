from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Command = Callable[..., Result]
OLD = "from globus_compute_sdk import Executor\n\nwith Executor('e') as ex:\n    pass\n"


def test_changes_are_shown_and_not_made(command: Command, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(OLD)
    shown = command("migrate-imports", str(program)).stdout
    assert "-from globus_compute_sdk import Executor\n+from compute_executor import Executor" in shown
    assert program.read_text() == OLD


def test_they_are_made_where_asked_for_once(command: Command, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_bytes(b"# coding: latin-1\r\n# \xe9\r\nimport globus_compute_sdk as gc\r\n")
    assert command("migrate-imports", "--write", str(program)).exit_code == 0
    made = b"# coding: latin-1\r\n# \xe9\r\nimport compute_executor as gc\r\n"
    assert program.read_bytes() == made
    assert "nothing to change" in command("migrate-imports", "--write", str(program)).stdout
    assert program.read_bytes() == made


def test_what_is_no_python_is_named_and_the_others_are_read(command: Command, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text("def (")
    good.write_text("from globus_compute_sdk import Executor\nExecutor(funcx_client=None)\n")
    done = command("migrate-imports", str(bad), str(good))
    assert done.exit_code == 1
    assert f"{bad}: not changed" in done.stderr
    assert "good.py:2: Executor takes no funcx_client here" in done.stdout
