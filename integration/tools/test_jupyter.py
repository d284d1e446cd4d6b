"""A notebook: functions of its cells travel by value, changed ones as they are now, and the kernel ends."""

from __future__ import annotations

import nbformat
from jupyter_client.manager import start_new_kernel
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


OUTPUT = [
    "from compute_executor import Executor\nimport logging, sys, time\nex = Executor(max_workers=2)\n"
    "logging.basicConfig(level='INFO', stream=sys.stderr, force=True)",
    "def say(text, pause=0):\n    time.sleep(pause)\n    print('said', text)\n"
    "    print('told', text, file=sys.stderr)\n    logging.getLogger('mine').info('logged %s', text)\n"
    "late = ex.submit(say, 'late', 1.5)\nex.submit(say, 'two').result()",
    "ex.submit(say, 'three').result()\nlate.result()",
]


def test_what_tasks_print_appears_in_the_cell_that_submitted_them() -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        cells = [client.execute(source) for source in OUTPUT]
        client.get_shell_msg(timeout=60)
        printed = {cell: {"stdout": "", "stderr": ""} for cell in cells}
        idle = 0
        while idle < len(cells):
            message = client.get_iopub_msg(timeout=60)
            cell, content = message["parent_header"].get("msg_id"), message["content"]
            if message["msg_type"] == "stream" and cell in printed:
                printed[cell][content["name"]] += content["text"]
            idle += (
                message["msg_type"] == "status" and content["execution_state"] == "idle" and cell in printed
            )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    first, second, third = (printed[cell] for cell in cells)
    assert first == {"stdout": "", "stderr": ""}
    assert sorted(second["stdout"].splitlines()) == ["said late", "said two"]
    assert third["stdout"] == "said three\n"
    for text in ("late", "two"):
        assert f"told {text}\n" in second["stderr"]
        assert f"INFO:mine:logged {text}\n" in second["stderr"]
    assert "logged three" in third["stderr"]
    assert "late" not in third["stderr"]
