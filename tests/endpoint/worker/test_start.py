"""The script that a worker is started with: it finds its own package, whatever sys.path and folder say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute_executor.endpoint.worker import start

CHECK = """
import runpy, sys, types
seen = []
worker = types.ModuleType("compute_executor.endpoint.worker.worker")
worker.main = lambda *fds: seen.append((fds, list(sys.path)))
import compute_executor.endpoint.worker
compute_executor.endpoint.worker.worker = sys.modules["compute_executor.endpoint.worker.worker"] = worker
before = list(sys.path)
script = sys.argv[1]
sys.argv = [script, "3", "4"]
if sys.argv[0] and EXTRA:
    sys.path.insert(0, __import__("os").path.dirname(script))
runpy.run_path(script, run_name="__main__")
(fds, path), = seen
assert fds == (3, 4), fds
assert path == before, (path, before)
"""


@pytest.mark.parametrize("extra", [True, False])
def test_the_worker_gets_its_descriptors_and_a_path_as_it_was(extra: bool, tmp_path: Path) -> None:
    """With and without the script's own folder in front, which PYTHONSAFEPATH leaves out."""
    (tmp_path / "worker.py").write_text("raise SystemExit('not this one')")
    script = str(start.__file__)
    root = str(Path(script).parents[3])
    subprocess.run(
        [sys.executable, "-c", CHECK.replace("EXTRA", repr(extra)), script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        check=True,
        timeout=20,
    )
