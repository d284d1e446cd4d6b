"""Functions of another Python are refused where they would be made, others are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cloudpickle
import dill
import pytest

from compute_executor.endpoint.environments.recipes import OWN_PYTHON

LOOK = """
import sys, pickle, dill
from compute_executor.endpoint.worker import bytecode
bytecode.guard(sys.argv[1])
try:
    print((dill if sys.argv[3] == "dill" else pickle).loads(open(sys.argv[2], "rb").read())(-2))
except Exception as error:
    print(type(error).__name__, error)
"""


def look(caller: str, stream: bytes, reader: str, folder: Path) -> str:
    file = folder / "stream"
    file.write_bytes(stream)
    return subprocess.check_output([sys.executable, "-c", LOOK, caller, str(file), reader], text=True).strip()


def by_value(library: str) -> bytes:
    names: dict[str, object] = {"__name__": "__main__"}
    exec("def double(x):\n    return 2 * x\n", names)
    double = names["double"]
    return cloudpickle.dumps(double) if library == "pickle" else dill.dumps(double)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pickle", "dill"])
def test_by_value(library: str, tmp_path: Path) -> None:
    stream = by_value(library)
    assert look(OWN_PYTHON, stream, library, tmp_path) == "-4"
    refused = look("3.77", stream, library, tmp_path)
    assert refused.startswith("ResultDecodeError this function was compiled by Python 3.77")


@pytest.mark.slow
def test_by_name(tmp_path: Path) -> None:
    assert look("3.77", cloudpickle.dumps(abs), "pickle", tmp_path) == "2"
