"""A notebook: functions of its cells travel by value, changed ones as they are now, and the kernel ends."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

CELLS = [
    "from compute_executor import Executor\nex = Executor(max_workers=2)\n"
    "factor = 3\ndef scaled(x):\n    return factor * x",
    "print(list(ex.map(scaled, range(5))))",
    "factor = 10\ndef scaled(x):\n    return factor * x + 1",
    "print(list(ex.map(scaled, range(5))))",
    "class Point:\n    def __init__(self, x): self.x = x\n"
    "print(isinstance(ex.submit(Point, 4).result(), Point))",
    "import asyncio\nprint(await asyncio.wrap_future(ex.submit(scaled, 7)))",
]
"""The last cell leaves the Executor open: the kernel must end all the same."""


def test_a_notebook() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])

    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

    printed = ["".join(output.text for output in cell.outputs).strip() for cell in notebook.cells]
    assert printed == [
        "",
        "[0, 3, 6, 9, 12]",
        "",
        "[1, 11, 21, 31, 41]",
        "True",
        "71",
    ]
