"""What cannot be is said in one line, in the words of whoever knows."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from tests.endpoint.agent.running import run

CONFIG = "from parsl.config import Config\nfrom parsl.executors import ThreadPoolExecutor\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "nothing.py").write_text("")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    (tmp_path / "threads.py").write_text(CONFIG + "config = Config(executors=[ThreadPoolExecutor()])\n")
    (tmp_path / "number.py").write_text("config = make = 5\n")
    (tmp_path / "five.py").write_text("def make():\n    return 5\n")
    (tmp_path / "raises.py").write_text("def make():\n    raise OSError('no such cluster')\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "parsl", "--config", "{}/nothing.py"], "defines no `config`"),
        (["--engine", "parsl", "--config", "{}/broken.py"], "no_such_module"),
        (["--engine", "parsl", "--config", "{}/absent.py"], "there is no file"),
        (["--engine", "parsl", "--config", "{}/threads.py"], "ThreadPoolExecutor"),
        (["--engine", "parsl", "--config", "{}/number.py"], "number.py defines a `config` of type int"),
        (["--engine", "parsl", "--config", "{}/exits.py"], "exits.py cannot be run: SystemExit: 3"),
        (["--engine", "parsl"], "needs --config FILE.py"),
        (["--engine", "{}/five.py:make"], "returned int"),
        (["--engine", "{}/number.py:make"], "number.py defines something that is no function (int) as make"),
        (["--engine", "{}/number.py:other"], "defines no function other"),
        (
            ["--engine", "{}/raises.py:make"],
            "raises.py:make cannot make an executor: OSError: no such cluster",
        ),
        (["--engine", "{}/exits.py:make"], "exits.py cannot be run: SystemExit: 3"),
        (["--engine", "{}/absent.py:make"], "there is no file"),
        (["--engine", "dask"], "--scheduler"),
        (["--engine", "dask", "--scheduler", "nonsense"], "--scheduler nonsense is no address"),
        (
            ["--engine", "dask", "--scheduler", "http://127.0.0.1:1"],
            "--scheduler http://127.0.0.1:1 is no address",
        ),
    ],
)
def test_it_is_told_at_the_start(files: Path, options: list[str], said: str) -> None:
    needs(options[1])
    ended = run("start", "wrong", *(option.format(files) for option in options))
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def needs(engine: str) -> None:
    """Skip where the library of an engine is absent."""
    if (module := {"parsl": "parsl", "dask": "distributed", "ray": "ray"}.get(engine)) is not None:
        pytest.importorskip(module)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no Ray answers at 127.0.0.1:1: .*Look at --address"),
        ("nonsense", "there is no Ray at --address nonsense"),
        ("auto", "there is no Ray at --address auto"),
    ],
)
def test_a_ray_that_does_not_answer(address: str, said: str) -> None:
    """Ray itself tries for minutes."""
    needs("ray")
    begun = time.monotonic()
    ended = run("start", "wrong", "--engine", "ray", "--address", address)
    assert ended.returncode in (1, 2)
    assert re.search(said, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - begun < 60


def test_a_scheduler_that_does_not_answer() -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = run("start", "wrong", "--engine", "dask", "--scheduler", f"tcp://127.0.0.1:{port}")
    assert ended.returncode in (1, 2)
    assert f"127.0.0.1:{port}" in ended.stderr
