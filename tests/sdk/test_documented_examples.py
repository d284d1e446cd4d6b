"""What the documentation of the Globus Compute SDK shows works here with the imports changed, on the local service.

`integration/stock` runs the same programs with both packages at a stock endpoint and compares.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.cli.sdk_imports import find
from compute_executor.sdk.login_manager.environments import TUTORIAL_ENDPOINT

SCRIPTS = Path(__file__).resolve().parents[2] / "integration" / "stock" / "scripts"

EXPECTED: dict[str, Any] = {
    "first_steps": 15,
    "positional_endpoint": 3,
    "without_with": 4,
    "not_done_and_then_done": [False, 3, True],
    "handled_exception": True,
    "as_they_complete": list(range(0, 20, 2)),
    "callbacks": [21],
    "one_after_the_other": [6, 3, 10, 5, 16, 8, 4, 2, 1],
    "ids_of_tasks": [36, 36, 1],
    "reloaded": [1, 2, 3, 4, 5, 6],
    "options_of_an_executor": [2, 16, "a label", 443, 4, 16],
    "configuration_as_a_property": [True, 8],
    "registered_by_the_executor": 10,
    "source_by_the_executor": 42,
    "hardware": True,
    "code_as_text": 3.141593,
    "imports_within": 12.566371,
    "logs": "WORLD",
    "shell": [True, "bonjour\n", 0, "echo 'bonjour'"],
    "shell_that_takes_too_long": 124,
    "shell_as_a_dictionary": [["cmd", "exception_name", "returncode", "stderr", "stdout"], True],
    "shell_here": "3\n",
    "mpi_commands": "mpi_hello --size {size}",
    "mpi": ["0 of 1\n", 0, "$PARSL_MPI_PREFIX echo 0 of 1"],
    "by_client": 7,
    "described_and_public": "adds two numbers",
    "source_by_client": 21,
    "batch": [[1, 2, 3, 4, 5], ["success"]],
    "prepared_batch": [1, True],
    "state_of_a_task": ["success", False],
    "failed_task": True,
    "state_of_an_endpoint": ["online", True],
    "deleted_function": True,
    "strategies_of_a_client": 3,
    "checked_strategies": 7,
    "allowed_only": "DeserializationError",
    "size_of_results": True,
}
FOR_GLOBUS_COMPUTE = {
    "results_as_json": "InvalidRequest: result_serializers is not kept by workers of this package"
}
"""What only endpoints of Globus Compute do, and is refused by name elsewhere."""


@pytest.mark.slow
def test_documented_examples_with_their_imports_changed(tmp_path: Path) -> None:
    old = (SCRIPTS / "examples.py").read_text()
    found = find(old, {})
    assert found.remarks == []
    (tmp_path / "examples.py").write_text(found.apply(old))
    shutil.copy(SCRIPTS / "work.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "examples.py", TUTORIAL_ENDPOINT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parents[2])},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    refused = {name: str(said.pop(name)) for name in FOR_GLOBUS_COMPUTE}
    assert said == EXPECTED
    assert all(text.startswith(FOR_GLOBUS_COMPUTE[name]) for name, text in refused.items()), refused
