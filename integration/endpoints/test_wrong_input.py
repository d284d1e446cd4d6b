"""What cannot be is said in one line, in the words of whoever knows."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.endpoint.agent.running import run

CONFIG = "from parsl.config import Config\nfrom parsl.executors import ThreadPoolExecutor\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "nothing.py").write_text("")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    (tmp_path / "threads.py").write_text(CONFIG + "config = Config(executors=[ThreadPoolExecutor()])\n")
    (tmp_path / "number.py").write_text("def make():\n    return 5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "parsl", "--config", "{}/nothing.py"], "defines no `config`"),
        (["--engine", "parsl", "--config", "{}/broken.py"], "no_such_module"),
        (["--engine", "parsl", "--config", "{}/absent.py"], "there is no file"),
        (["--engine", "parsl", "--config", "{}/threads.py"], "ThreadPoolExecutor"),
        (["--engine", "{}/number.py:make"], "int"),
        (["--engine", "{}/number.py:other"], "defines no other"),
        (["--engine", "{}/absent.py:make"], "there is no file"),
        (["--engine", "dask"], "--scheduler"),
    ],
)
def test_it_is_told_at_the_start(files: Path, options: list[str], said: str) -> None:
    ended = run("start", "wrong", *(option.format(files) for option in options))
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_scheduler_that_does_not_answer() -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = run("start", "wrong", "--engine", "dask", "--scheduler", f"tcp://127.0.0.1:{port}")
    assert ended.returncode in (1, 2)
    assert f"127.0.0.1:{port}" in ended.stderr
