from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor.errors import NotAuthorized
from compute_executor.local import log
from compute_executor.local.log import escaped, open_log


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[logging.Handler]:
    loggers = [logging.getLogger(name) for name in log.LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    handler = open_log(tmp_path / "service.log", take_output=False)
    yield handler
    handler.close()
    for logger, level, propagate in before:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def test_a_line_of_the_log_cannot_be_forged(handler: logging.Handler, tmp_path: Path) -> None:
    logging.getLogger("compute_executor.tasks").info(
        "task %s: %s", 1, "a\n2026-11-24 forged\r\x1b[2Jb\u202e\x85\x00"
    )
    text = (tmp_path / "service.log").read_text()
    first, second = text.splitlines()
    assert first.endswith("INFO  compute_executor.tasks: task 1: a")
    assert second == r"    | 2026-11-24 forged\r\x1b[2Jb\u202e\x85\x00"


def test_tracebacks_are_indented(handler: logging.Handler, tmp_path: Path) -> None:
    try:
        raise ValueError("a\x1bb")
    except ValueError:
        logging.getLogger("compute_executor.x").exception("failed")
    lines = (tmp_path / "service.log").read_text().splitlines()
    assert lines[1] == "    | Traceback (most recent call last):"
    assert lines[-1] == r"    | ValueError: a\x1bb"


def test_it_is_for_its_owner_only_and_put_aside_when_long(
    handler: logging.Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "maxBytes", 1000)
    for _ in range(100):
        logging.getLogger("compute_executor.x").info("x" * 100)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["service.log", *(f"service.log.{number}" for number in range(1, log.KEPT_LOGS + 1))]
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_size <= 1000


@pytest.mark.parametrize("text", ["plain", "ümläut 日本", "tab is \t escaped"])
def test_what_does_no_harm_stays_readable(text: str) -> None:
    assert escaped(text) == text.replace("\t", r"\t")


def test_a_log_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    path.touch(mode=0o666)
    path.chmod(0o666)
    with pytest.raises(NotAuthorized, match=str(path)):
        open_log(path, take_output=False)


def test_the_output_of_the_process_goes_on_into_the_new_log(tmp_path: Path) -> None:
    script = f"""
import logging, os
from pathlib import Path
from compute_executor.local.log import open_log
handler = open_log(Path({str(tmp_path / "service.log")!r}), take_output=True)
handler.maxBytes = 500
for _ in range(10):
    logging.getLogger("compute_executor.x").info("x" * 100)
os.write(2, b"a crash of the interpreter")
"""
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3], env=dict(os.environ)
    )
    assert (tmp_path / "service.log").read_text().endswith("a crash of the interpreter")


@pytest.mark.parametrize(
    ("error", "said"), [(OSError(28, "No space left on device"), False), (TypeError(), True)]
)
def test_a_full_disk_costs_a_line_and_says_no_more(
    handler: logging.Handler,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: bool,
) -> None:
    def fail(_record: logging.LogRecord) -> str:
        raise error

    monkeypatch.setattr(handler, "format", fail)
    logging.getLogger("compute_executor.x").error("lost")
    assert ("Logging error" in capsys.readouterr().err) == said


def test_as_json_each_line_is_an_object(tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in log.LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    handler = open_log(tmp_path / "service.log", take_output=False, as_json=True)
    try:
        try:
            raise ValueError("no\nroot")
        except ValueError:
            logging.getLogger("compute_executor.tasks").exception("task %s\n\x1b[2J", 1)
    finally:
        handler.close()
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
    (line,) = (tmp_path / "service.log").read_text().splitlines()
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("ERROR", "compute_executor.tasks")
    assert found["message"] == "task 1\n\x1b[2J"
    assert found["traceback"].endswith("ValueError: no\nroot")
    assert found["time"].endswith("+00:00")
    assert "\x1b" not in line
