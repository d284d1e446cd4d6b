"""A notebook with a parameters cell as what is swept, by papermill: each row is an executed copy of it."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.programs import ROW, STDOUT, columns_of


class NotebookCall:
    """The notebook at ``path``, executed for a row below ``folder``. ``collect``: as for programs, from what its
    cells print. Returns the collected columns and the path of the executed copy. Raises InvalidRequest for a
    notebook without a cell that has the tag ``parameters``."""

    def __init__(self, path: Path, folder: Path, collect: Sequence[str] = ()) -> None:
        self._path, self._folder, self._collect = os.fspath(path.resolve()), os.fspath(folder), list(collect)
        optional("papermill", "notebook", f"{path}")
        self.__name__: str = path.name
        self._check(path)

    @property
    def __signature__(self) -> inspect.Signature:
        """Any parameter: only the notebook knows which it takes."""
        return inspect.Signature([inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD)])

    def __call__(self, **parameters: Any) -> dict[str, Any]:
        """Execute it for the row whose number is under ``__row__``."""
        papermill: Any = optional("papermill", "notebook", self._path)
        folder = os.path.join(self._folder, str(parameters.pop(ROW, 1)))
        os.makedirs(folder, exist_ok=True)
        executed = os.path.join(folder, os.path.basename(self._path))
        done = papermill.execute_notebook(
            self._path, executed, parameters=parameters, cwd=folder, progress_bar=False, **self._kernel
        )
        with open(os.path.join(folder, STDOUT), "w", encoding="utf-8") as file:
            file.write("".join(_printed(cell) for cell in done.cells))
        return {**columns_of(folder, self._collect), "notebook": executed}

    def _check(self, path: Path) -> None:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            cells = document["cells"]
            named = "kernelspec" in document.get("metadata", {})
            self._kernel = {} if named else {"kernel_name": "python3", "language": "python"}
            tagged = any("parameters" in cell.get("metadata", {}).get("tags", ()) for cell in cells)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(f"{path} is no notebook: {error}") from error
        if not tagged:
            raise InvalidRequest(
                f"{path} has no cell with the tag 'parameters': papermill puts the values of a row behind it"
            )


def _printed(cell: Any) -> str:
    """Return what a cell has printed, or the text of its value."""
    texts = []
    for output in cell.get("outputs", ()):
        if output.get("output_type") == "stream" and output.get("name") == "stdout":
            texts.append("".join(output.get("text", "")))
        elif output.get("output_type") == "execute_result":
            texts.append("".join(output.get("data", {}).get("text/plain", "")) + "\n")
    return "".join(texts)
