"""Tracebacks and `inspect` in a task show what they show in the program."""

from __future__ import annotations

import linecache
import subprocess
import sys
import types
from typing import Any

import pytest

from compute_executor.serialization import sources
from compute_executor.serialization.sources import SourceFiles
from tests.serialization.conftest import Script


def test_a_traceback_names_the_cell_and_shows_the_line(script: Script) -> None:
    script.run(
        "import inspect\ndef careless(x):\n    return 10 / x  # at fault\n"
        "def source():\n    return inspect.getsource(careless)\n"
    )

    error = script.call("careless", 0)
    assert 'File "<cell 1>", line 3, in careless' in str(error.__cause__)
    assert "# at fault" in str(error.__cause__)
    assert script.call("source") == "def careless(x):\n    return 10 / x  # at fault\n"


def test_the_source_of_a_function_ends_where_it_ends(script: Script) -> None:
    script.run(
        "import inspect\ndef short(x): return x\n\n\nclass C:\n    n = 1\n    def m(self):\n        return source()\n"
        "def source():\n    return inspect.getsource(short)\ndef run():\n    return C().m()\n"
    )
    assert script.call("run") == "def short(x): return x\n"


def test_the_text_of_a_file_is_the_one_that_was_run(script: Script, tmp_path: Any) -> None:
    file = tmp_path / "script.py"
    file.write_text("\n\ndef fail():\n    raise ValueError('as it was')\n")
    exec(compile(file.read_text(), str(file), "exec"), script.names)
    linecache.getlines(str(file))
    file.write_text("something else\n" * 9)

    text = str(script.call("fail").__cause__)
    assert f'File "{file}", line 4, in fail' in text
    assert "raise ValueError('as it was')" in text


def test_a_notebook_calls_its_cells_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = types.SimpleNamespace(
        format_code_name=lambda name: ("Cell", "In[3]") if name == "/tmp/1.py" else None
    )
    shell = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(compile=compiler))
    monkeypatch.setitem(sys.modules, "IPython", shell)

    files = SourceFiles()
    numbers = [files.number(compile("1", name, "eval")) for name in ("/tmp/1.py", "/tmp/2.py", "/tmp/1.py")]
    assert numbers == [0, 1, 0]
    assert [name for name, _ in files.record()] == ["Cell In[3]", "/tmp/2.py"]


def test_too_much_text_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_TEXT", 13)
    text = "x = 1\n"
    monkeypatch.setitem(linecache.cache, "<some>", (6, None, [text, text], "<some>"))
    files = SourceFiles()
    for line in (1, 2):
        files.number(compile("\n" * (line - 1) + text, "<some>", "exec").replace(co_firstlineno=line))
    assert files.record() == (("<some>", {1: text + text}),)


def test_a_program_on_the_command_line_has_its_text() -> None:
    program = (
        "from compute_executor.serialization.sources import SourceFiles\n"
        "def f():\n    return 1  # here\n"
        "files = SourceFiles(); files.number(f.__code__); print(files.record())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "return 1  # here" in done.stdout
