"""Two copies of one program in two folders, with one service: each sees its own files, whoever was first."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

HELPER = """
def fail():
    raise ValueError("in the helper")
"""
PROGRAM = """
import inspect, json, multiprocessing, sys, traceback
import cloudpickle
from compute_executor import Executor
import helper

def name():
    return name.__code__.co_filename

def look():  # COPY
    try:
        helper.fail()
    except ValueError:
        named = [line.split('"')[1] for line in traceback.format_exc().splitlines() if "File" in line]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.apply(name)
    prepared = multiprocessing.spawn.get_preparation_data("it")
    main = {key: value for key, value in prepared.items() if key.startswith("init_main")}
    source = inspect.getsource(look).splitlines()[0]
    return [named, spawned, main, inspect.getsourcefile(look), source, sys.argv[0]]

if __name__ == "__main__":
    cloudpickle.register_pickle_by_value(helper)
    with Executor(max_workers=1) as executor:
        there = executor.submit(look).result()
    print(json.dumps([look(), there]))
"""


@pytest.mark.parametrize("command", [["program.py"], ["-m", "package.program"]])
def test_each_copy_sees_its_own_files(command: list[str], tmp_path: Path) -> None:
    with ExitStack() as stack:
        programs = {copy: stack.enter_context(start(tmp_path / copy, command)) for copy in ("one", "two")}
        outputs = {copy: program.communicate(timeout=60)[0] for copy, program in programs.items()}
    for copy, output in outputs.items():
        here, there = json.loads(output)
        assert there == here
        assert there[0][-1] == str(tmp_path / copy / "helper.py")
        assert there[4] == f"def look():  # {copy}"


def start(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    """Make the copy in this folder, and start it."""
    place = folder / "package" if "-m" in command else folder
    place.mkdir(parents=True)
    (folder / "helper.py").write_text(HELPER)
    (place / "program.py").write_text(PROGRAM.replace("COPY", folder.name))
    return subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True)
