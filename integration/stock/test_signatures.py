"""The recorded names of the SDK are those of the SDK that is installed for these tests."""

from __future__ import annotations

import json
import subprocess

import pytest

from integration.debian import CannotInstall
from integration.pythons import ROOT
from integration.stock.environment import stock_python
from tests.sdk.sdk_signatures import SIGNATURES

READER = ROOT / "tests" / "sdk" / "signatures.py"
PRINTED = (
    "import json, runpy, sys; "
    "print(json.dumps(runpy.run_path(sys.argv[1])['signatures']('globus_compute_sdk')))"
)
"""By its path: a package of the stock peers is called tests, too."""


def test_the_record_is_true() -> None:
    try:
        python = stock_python()
    except CannotInstall as error:
        pytest.skip(str(error))
    command = [python, "-c", PRINTED, READER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == SIGNATURES
