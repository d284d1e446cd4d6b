"""What tasks write, in the program."""

from __future__ import annotations

import contextlib
import contextvars
import io
import json
import logging
import os
import sys
import tempfile
import threading
import time
import types
import warnings
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.errors import WorkerLost
from compute_executor.future import TaskOutputText
from compute_executor.protocol.frames import Result, Written
from compute_executor.protocol.written_text import OUTPUT_KEPT
from compute_executor.session import cells, output
from compute_executor.session.cells import Cell
from compute_executor.session.output import Console, OutputPrinter

TASK = (b"prefix", 3)


@pytest.fixture
def printer() -> OutputPrinter:
    return OutputPrinter()


def ended(written: Written | None, cell: Cell = None) -> list[tuple[Result, Cell]]:
    return [(Result(1, *TASK, 0, b"", output=written), cell)]


def test_what_was_printed_while_a_task_ran_is_not_printed_with_its_result(
    printer: OutputPrinter, capsys: pytest.CaptureFixture[str]
) -> None:
    printer.part(TASK, Written(b"one\n"))
    printer.part(TASK, Written(b"one\n"))
    printer.part(TASK, Written(b"two\n", b"err\n", starts=(4, 0, 0)))
    printer.results(ended(Written(b"one\ntwo\nthree\n", b"err\n")))
    assert capsys.readouterr() == ("one\ntwo\nthree\n", "err\n")


def test_what_is_missing_is_counted(printer: OutputPrinter, capsys: pytest.CaptureFixture[str]) -> None:
    printer.part(TASK, Written(b"one\n"))
    printer.results(ended(Written(b"end\n", starts=(100, 0, 0))))
    assert capsys.readouterr().out == "one\n[96 bytes of output dropped]\nend\n"


def test_what_a_task_has_left_running_prints_after_its_result(
    printer: OutputPrinter, capsys: pytest.CaptureFixture[str]
) -> None:
    printer.late_part(TASK, Written(b"of another program\n"))
    printer.results(ended(Written(b"one\n")))
    printer.late_part(TASK, Written(b"late\n"))
    printer.late_part(TASK, Written(b"later\n", starts=(5, 0, 0)))
    assert capsys.readouterr().out == "one\nlate\nlater\n"


def test_a_task_that_runs_again_prints_from_the_beginning(
    printer: OutputPrinter, capsys: pytest.CaptureFixture[str]
) -> None:
    printer.part(TASK, Written(b"first try\n", attempt=1))
    printer.part(TASK, Written(b"try\n", attempt=2))
    printer.results(ended(Written(b"try\nend\n", attempt=2)))
    assert capsys.readouterr().out == "first try\ntry\nend\n"


def record(name: str, level: int, message: str) -> bytes:
    fields = logging.LogRecord(name, level, "path", 1, message, None, None).__dict__
    return json.dumps({"record": fields}).encode() + b"\n"


def test_records_reach_the_logger_of_their_name_at_its_level(
    printer: OutputPrinter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lib")
    lines = record("lib", logging.DEBUG, "no") + record("lib", logging.INFO, "50 %") + b"half a li"
    printer.results(ended(Written(records=lines)))
    assert [(one.name, one.getMessage()) for one in caplog.records] == [("lib", "50 %")]


def test_a_handler_that_raises_does_not_stop_the_others(printer: OutputPrinter) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            raise RuntimeError

    seen: list[str] = []
    logger, handler = logging.getLogger("broken"), Broken()
    logger.addHandler(handler)
    try:
        printer.results(ended(Written(records=record("broken", 50, "a") + record("broken", 50, "b"))))
    finally:
        logger.removeHandler(handler)
    assert seen == ["a", "b"]


class OddWarning(UserWarning):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)


def warning(text: str, category: list[str]) -> bytes:
    fields = {"warning": text, "category": category, "filename": "f.py", "lineno": 7}
    return json.dumps(fields).encode() + b"\n"


def test_a_warning_comes_once(printer: OutputPrinter) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            printer.results(ended(Written(records=warning("careful", ["builtins", "FutureWarning"]))))
        printer.results(ended(Written(records=warning("odd", [__name__, "OddWarning"]))))
        printer.results(ended(Written(records=warning("unknown", ["nowhere", "Never"]))))
    assert [(one.category, str(one.message)) for one in caught] == [
        (FutureWarning, "careful"),
        (UserWarning, "odd"),
        (UserWarning, "unknown"),
    ]


@pytest.mark.parametrize("stream", [None, 5, io.TextIOWrapper(io.BytesIO(), "ascii")])
def test_a_stream_that_cannot_be_written_to_is_no_error(
    printer: OutputPrinter, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", stream)
    printer.results(ended(Written("é\n".encode())))
    if stream not in (None, 5):
        assert stream.buffer.getvalue() == b"\\xe9\n"


def test_a_pipe_that_nobody_reads_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(output, "BACKLOG", 1 << 20)
    console = Console()
    with open(writing, "w") as stream, contextlib.redirect_stdout(stream):
        began = time.monotonic()
        for _ in range(40):
            console.write("stdout", "x" * 50_000)
        assert time.monotonic() - began < 1.0
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reading, 65536), b"")))
        reader.start()
        console.write("stdout", "")
        deadline = time.monotonic() + 10
        while sum(map(len, read)) < 900_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        console.write("stdout", "end\n")
        console.close()
    reader.join()
    os.close(reading)
    text = b"".join(read).decode()
    assert text.endswith("end\n")
    written, dropped = text.count("x"), 40 * 50_000 - text.count("x")
    assert written > 900_000
    assert f"[{dropped} characters of output dropped: nobody read them]\n" in text


def test_the_text_of_a_task_grows_with_its_parts() -> None:
    text = TaskOutputText(Written(b"one\n", b"e"))
    text = text.followed_by(Written(b"two\n", b"", starts=(4, 1, 0)))
    assert text.text(None) == "one\ntwo\ne"
    assert (text.text("stdout"), text.text("stderr")) == ("one\ntwo\n", "e")
    text = text.followed_by(Written(b"one\ntwo\nend\n", b"ee"))
    assert text.text("stdout") == "one\ntwo\nend\n"
    text = text.followed_by(Written(b"x" * OUTPUT_KEPT, b"", starts=(12, 2, 0)))
    assert text.text("stdout") == "[12 bytes before this are not kept]\n" + "x" * OUTPUT_KEPT
    assert text.followed_by(Written(b"again", attempt=2)).text(None) == "again"
    gap = TaskOutputText(Written(b"a")).followed_by(Written(b"b", starts=(5, 0, 0)))
    assert gap.text(None) == "[5 bytes before this are not kept]\nb"


# -- with a real service --


def speak(number: int) -> int:
    import logging
    import sys

    print("out", number)
    print("err", number, file=sys.stderr)
    logging.getLogger("a.library").warning("record %d", number)
    return number


def test_what_tasks_print_is_there_when_they_have_ended(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with Executor(1) as ex:
        futures = [ex.submit(speak, number) for number in range(3)]
        assert [future.result(30) for future in futures] == [0, 1, 2]
        assert capsys.readouterr() == ("out 0\nout 1\nout 2\n", "err 0\nerr 1\nerr 2\n")
        assert [future.output() for future in futures] == [f"out {n}\nerr {n}\n" for n in range(3)]
        assert futures[1].output("stderr") == "err 1\n"
        group = ex.task_group_id
    found = [one.getMessage() for one in caplog.records if one.name == "a.library"]
    assert found == ["record 0", "record 1", "record 2"]
    with Executor(1) as other:
        again = other.reload_tasks(group)
        assert [future.result(30) for future in again] == [0, 1, 2]
        assert [future.output("stdout") for future in again] == ["out 0\n", "out 1\n", "out 2\n"]
    assert capsys.readouterr() == ("", ""), "of another program's tasks nothing is printed"


def test_a_task_is_heard_while_it_runs_and_to_its_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    def speak_and_die(path: str) -> None:
        import os
        import time

        print("begun")
        while not os.path.exists(path):
            time.sleep(0.01)
        os.write(1, b"last words\n")
        os._exit(3)

    with Executor(1) as ex:
        path = os.path.join(os.environ["COMPUTE_EXECUTOR_HOME"], "go")
        future = ex.submit(speak_and_die, path)
        heard = ""
        deadline = time.monotonic() + 30
        while "begun" not in heard and time.monotonic() < deadline:
            heard += capsys.readouterr().out
            time.sleep(0.01)
        assert heard == "begun\n"
        assert future.output() == "begun\n"
        with open(path, "w"):
            pass
        with pytest.raises(WorkerLost):
            future.result(30)
        assert capsys.readouterr().out == "last words\n"
        assert future.output() == "begun\nlast words\n"


def test_output_can_be_kept_out_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with Executor(1, output="log") as ex:
        future = ex.submit(speak, 7)
        assert future.result(30) == 7
        assert future.output("stdout") == "out 7\n"
    assert capsys.readouterr() == ("", "")


def test_there_are_two_places_for_output() -> None:
    with pytest.raises(ValueError, match="output must be 'program' or 'log', not 'both'"):
        Executor(output="both")  # type: ignore[arg-type]


class _Notebook:
    """A stream that asks the context which cell it is written from, as a Jupyter kernel's does."""

    def __init__(self) -> None:
        self.cell = contextvars.ContextVar("cell", default="none")
        self.got: list[tuple[str, str]] = []

    def write(self, text: str) -> None:
        self.got.append((self.cell.get(), text))

    def flush(self) -> None:
        pass

    def running(self, cell: str) -> Cell:
        """The context of a cell."""
        self.cell.set(cell)
        return cells.current()


def test_output_goes_to_the_cell_of_its_call(printer: OutputPrinter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cells.current() is None, "no notebook"
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    stream = _Notebook()
    monkeypatch.setattr(sys, "stdout", stream)
    first, second = stream.running("first"), stream.running("second")

    printer.results(
        [*ended(Written(b"1\n"), first), *ended(Written(b"2\n"), second), *ended(Written(b"3\n"), first)]
    )
    printer.part(TASK, Written(b"4\n"), first)
    assert stream.got == [("first", "1\n"), ("second", "2\n"), ("first", "3\n"), ("first", "4\n")]


def test_log_records_go_to_the_cell_of_their_call(
    printer: OutputPrinter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    stream = _Notebook()
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(logging.getLogger("of a task"), "handlers", [handler])
    first, _ = stream.running("first"), stream.running("second")

    printer.results(ended(Written(records=record("of a task", 50, "hello")), first))
    assert ("first", "hello\n") in stream.got


def test_what_threads_and_processes_print_that_tasks_have_left_running(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def leave(path: str) -> None:
        import os
        import subprocess
        import threading
        import time

        def speak() -> None:
            while not os.path.exists(path):
                time.sleep(0.01)
            print("the thread")

        threading.Thread(target=speak, daemon=True).start()
        subprocess.Popen(f"while [ ! -e {path} ]; do sleep 0.02; done; echo the process", shell=True)

    with tempfile.TemporaryDirectory() as folder, Executor(1) as executor:
        executor.submit(leave, f"{folder}/ended").result(60)
        open(f"{folder}/ended", "w").close()
        printed, end = "", time.monotonic() + 60
        while not ("the thread\n" in printed and "the process\n" in printed) and time.monotonic() < end:
            time.sleep(0.01)
            printed += capsys.readouterr().out
        assert sorted(printed.splitlines()) == ["the process", "the thread"]
