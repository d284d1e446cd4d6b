"""Notebooks, with a stand-in for papermill: the real one is a large install, and was tried by hand."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.notebooks import NotebookCall
from compute_executor.sweeps.programs import ROW


@pytest.fixture(autouse=True)
def papermill(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What it was called with; its notebook prints a line and ends in a value."""
    called: dict[str, Any] = {}

    def execute_notebook(path: str, executed: str, **options: Any) -> Any:
        called.update(options, path=path, executed=executed)
        printed = {"output_type": "stream", "name": "stdout", "text": "energy=2.5\n"}
        last = {"output_type": "execute_result", "data": {"text/plain": '{"y": 3}'}}
        return types.SimpleNamespace(cells=[{"outputs": [printed]}, {"outputs": [last]}, {}])

    module = types.ModuleType("papermill")
    module.execute_notebook = execute_notebook  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "papermill", module)
    return called


def notebook(path: Path, tags: list[str], metadata: dict[str, Any] | None = None) -> Path:
    cell = {"metadata": {"tags": tags}, "source": "x = 1"}
    path.write_text(json.dumps({"cells": [cell], "metadata": metadata or {}}))
    return path


def test_a_row_is_an_executed_copy_and_what_its_cells_print(
    tmp_path: Path, papermill: dict[str, Any]
) -> None:
    path = notebook(tmp_path / "study.ipynb", ["parameters"])
    found = NotebookCall(path, tmp_path / "files", ["energy=([0-9.]+)"])(x=5, **{ROW: 3})
    executed = str(tmp_path / "files" / "3" / "study.ipynb")
    assert found == {"energy": 2.5, "y": 3, "notebook": executed}
    assert (papermill["executed"], papermill["parameters"]) == (executed, {"x": 5})
    assert papermill["kernel_name"] == "python3"


def test_a_notebook_that_names_its_kernel_keeps_it(tmp_path: Path, papermill: dict[str, Any]) -> None:
    path = notebook(tmp_path / "study.ipynb", ["parameters"], {"kernelspec": {"name": "ir"}})
    NotebookCall(path, tmp_path / "files")(x=5)
    assert "kernel_name" not in papermill


def test_what_is_no_notebook_with_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="has no cell with the tag 'parameters'"):
        NotebookCall(notebook(tmp_path / "plain.ipynb", []), tmp_path)
    (tmp_path / "text.ipynb").write_text("no")
    for name in ("text.ipynb", "absent.ipynb"):
        with pytest.raises(InvalidRequest, match="is no notebook"):
            NotebookCall(tmp_path / name, tmp_path)
