"""Every way in which a program ends: what was submitted is finished, and nobody is left behind.

Each test is a program of its own. After it has ended, its service and its workers must be gone by themselves.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.scripts import Program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    programs: list[Program] = []

    def start(text: str, *flags: str) -> Program:
        programs.append(Program(tmp_path, text, *flags))
        return programs[-1]

    yield start
    for program in programs:
        program.close()
        (tmp_path / "open").touch()
        program.leaves_nothing()


def test_the_end_of_the_script_without_shutdown(run: Run, tmp_path: Path) -> None:
    ended = run("ex = Executor(max_workers=2); fs = [ex.submit(done, f'{n}.txt') for n in range(4)]").end()

    assert ended == (0, "", "")
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_the_end_while_a_daemon_thread_waits_for_a_result(run: Run, tmp_path: Path) -> None:
    ended = run(
        """
        import threading
        ex = Executor(max_workers=1)
        future = ex.submit(done, "file")
        threading.Thread(target=future.result, daemon=True).start()
        """
    ).end()

    assert ended == (0, "", "")
    assert (tmp_path / "file").exists()


def test_the_end_while_a_daemon_thread_submits(run: Run) -> None:
    ended = run(
        """
        import threading
        ex = Executor(max_workers=1)
        begun = threading.Event()
        def client():
            try:
                while True:
                    ex.submit(pow, 2, 3).result()
                    begun.set()
            except (RuntimeError, Exception):
                pass
        threading.Thread(target=client, daemon=True).start()
        begun.wait()
        """
    ).end()

    assert (ended.code, ended.err) == (0, "")


def test_a_non_daemon_thread_goes_on_after_the_main_one(run: Run) -> None:
    ended = run(
        """
        import threading, time
        ex = Executor(max_workers=1)
        def client():
            threading.main_thread().join()
            print(ex.submit(pow, 2, 3).result())
        threading.Thread(target=client).start()
        """
    ).end()

    # ThreadPoolExecutor refuses here; either is a clear answer, a hang is not.
    assert ended.out == "8\n" or "cannot schedule new futures" in ended.err


def test_sys_exit_in_a_callback(run: Run, tmp_path: Path) -> None:
    ended = run(
        """
        ex = Executor(max_workers=1)
        future = ex.submit(pow, 2, 3)
        future.add_done_callback(lambda _: sys.exit(3))
        future.result()
        print(ex.submit(done, "file").result())
        """
    ).end()

    assert (ended.code, ended.out) == (0, "done\n")


def test_sys_exit_in_the_main_thread(run: Run, tmp_path: Path) -> None:
    ended = run("ex = Executor(max_workers=1); ex.submit(done, 'file'); sys.exit(5)").end()

    assert (ended.code, ended.err) == (5, "")
    assert (tmp_path / "file").exists()


def test_an_exception_in_a_with_body(run: Run, tmp_path: Path) -> None:
    ended = run(
        """
        with Executor(max_workers=1) as ex:
            ex.submit(done, "file")
            raise LookupError("of the body")
        """
    ).end()

    assert ended.code == 1
    assert "LookupError: of the body" in ended.err
    assert (tmp_path / "file").exists()


def test_an_executor_that_is_garbage(run: Run) -> None:
    ended = run(
        """
        import gc, threading, weakref
        ex = Executor(max_workers=1)
        future = ex.submit(done, "file")
        gone = weakref.ref(ex)
        del ex
        gc.collect()
        print(gone() is None, future.result())
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(10)
        print(threading.active_count())
        """
    ).end()

    assert ended == (0, "True done\n1\n", "")


def test_a_program_read_from_standard_input(run: Run, tmp_path: Path) -> None:
    """A REPL: statements one by one, and end of file."""
    ended = run(
        """
        import subprocess
        lines = "from compute_executor import Executor\\nex = Executor(max_workers=1)\\n" \\
            "def f(x): return x + factor\\n\\nfactor = 2\\nprint(ex.submit(f, 40).result())\\n"
        subprocess.run([sys.executable, "-i", "-q"], input=lines, text=True, check=True)
        """
    ).end()

    assert (ended.code, ended.out) == (0, "42\n")
    assert "Traceback" not in ended.err


# -- signals --------------------------------------------------------------------------------------------


READY = """
from time import sleep
def hold(_=None):
    import os, time
    while not os.path.exists("open"):
        time.sleep(0.01)
def ready(future=None):
    while future is not None and not future.running():
        sleep(0.01)
    print("ready", flush=True)
ex = Executor(max_workers=1)
"""
"""Says that it is ready: at once, or when a worker has begun the call."""

INTERRUPTED = {
    "result, not begun": "f = ex.submit(hold); ready(); f.result()",
    "result, begun": "f = ex.submit(hold); ready(f); f.result()",
    "result in with": "with ex:\n    f = ex.submit(hold); ready(f); f.result()",
    "result in with, in a lock": "with ex:\n    f = ex.submit(hold); ready(f)\n"
    "    try: f.result()\n    finally: raise RuntimeError('cannot release un-acquired lock')",
    "result, in a lock": "f = ex.submit(hold); ready(f)\n"
    "try: f.result()\nfinally: raise RuntimeError('cannot release un-acquired lock')",
    "end of with": "with ex:\n    f = ex.submit(hold); ready(f)",
    "shutdown": "f = ex.submit(hold); ready(f); ex.shutdown()",
    "map": "ready(); list(ex.map(hold, range(1000)))",
    "map with a buffer": "ready(); list(ex.map(hold, range(1000), buffersize=5))",
    "submitting": "ready()\nwhile True: ex.submit(abs, 1)",
    "wait": "import concurrent.futures as c; f = ex.submit(hold); ready(f); c.wait([f])",
    "asyncio": "import asyncio; f = ex.submit(hold); ready(f)\n"
    "async def main(): await asyncio.wrap_future(f)\n"
    "asyncio.run(main())",
}
"""Where a program may be when the user presses Ctrl-C. In a lock: what ``Condition.wait`` makes of one that comes
just as it begins (`leaving.by_interrupt`)."""


@pytest.mark.parametrize("where", list(INTERRUPTED))
def test_interrupt(run: Run, where: str) -> None:
    """Ctrl-C leaves at once, wherever the program is. What a worker has begun goes on to its end without it."""
    program = run(READY + INTERRUPTED[where] + "\n")
    program.kill(signal.SIGINT)

    ended = program.end()

    assert ended.code in (-signal.SIGINT, 1, 130)
    assert "KeyboardInterrupt" in ended.err


def test_interrupt_when_the_script_has_ended(run: Run) -> None:
    """While the interpreter waits for what was submitted: leaves at once, too. The first one may meet somebody
    else's exit function, where the interpreter only reports it; the second always leaves."""
    program = run(READY + "f = ex.submit(hold); ready(f)\n")
    program.kill(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.process.wait(2)
    program.process.send_signal(signal.SIGINT)

    assert program.end().code in (0, -signal.SIGINT, 1, 130)


def test_terminate(run: Run, tmp_path: Path) -> None:
    """SIGTERM ends the client where it stands; what its service had accepted is finished all the same."""
    program = run(
        """
        ex = Executor(max_workers=1)
        first = ex.submit(pow, 2, 3)
        later = [ex.submit(done, f"{n}.txt") for n in range(3)]
        first.result()
        print("ready", flush=True)
        later[-1].result()
        sys.exit("too quick")
        """
    )
    program.kill(signal.SIGTERM)

    assert program.end().code == -signal.SIGTERM
    program.leaves_nothing()
    assert len(list(tmp_path.glob("*.txt"))) == 3


# -- fork -----------------------------------------------------------------------------------------------

FORKED = """
import os
def say(*words):  # a line at once: two processes write here
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def child():
    try:
        say("child:", ex.submit(pow, 2, 5).result(20))
    except RuntimeError as error:
        say("child:", "fork" in str(error))
    try:
        with Executor(max_workers=1) as own:
            say("own:", own.submit(pow, 2, 6).result(20))
    finally:
        sys.stdout.flush()
        os._exit(0)
"""


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_before_first_use(run: Run) -> None:
    ended = run(
        FORKED
        + "ex = Executor(max_workers=1)\n"
        + "pid = os.fork()\n"
        + "if pid == 0: child()\n"
        + "say('parent:', ex.submit(pow, 2, 7).result(20))\n"
        + "os.waitpid(pid, 0)\n",
        "-Wignore",
    ).end(60)

    assert sorted(ended.out.splitlines())[1:] == ["own: 64", "parent: 128"]
    assert ended.out.splitlines().count("child: 32") + ended.out.splitlines().count("child: True") == 1
    assert ended.code == 0


def test_fork_after_first_use(run: Run) -> None:
    ended = run(
        FORKED
        + "ex = Executor(max_workers=1)\n"
        + "before = ex.submit(done, 'file')\n"
        + "pid = os.fork()\n"
        + "if pid == 0: child()\n"
        + "say('parent:', ex.submit(pow, 2, 7).result(20), before.result(20))\n"
        + "os.waitpid(pid, 0)\n",
        "-Wignore",
    ).end(60)

    assert sorted(ended.out.splitlines())[1:] == ["own: 64", "parent: 128 done"]
    assert ended.code == 0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_inside_the_workers_of_multiprocessing(run: Run, method: str) -> None:
    ended = run(
        f"""
        import multiprocessing
        def work(n):
            with Executor(max_workers=1) as ex:
                return ex.submit(pow, n, 2).result(30)
        if __name__ == "__main__":
            with Executor(max_workers=1) as ex:
                print(ex.submit(pow, 2, 2).result(30))
                with multiprocessing.get_context({method!r}).Pool(2) as pool:
                    print(pool.map(work, range(4)))
        """,
        "-Wignore",
    ).end(60)

    assert (ended.code, ended.out) == (0, "4\n[0, 1, 4, 9]\n")
