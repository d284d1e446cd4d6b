"""The program that this process runs, as lists of task groups show it."""

from __future__ import annotations

import os
import socket
import sys

from compute_executor.protocol.frames import ProgramInfo

LONGEST = 300
"""Characters of a name that are sent."""


def describe(label: str) -> ProgramInfo:
    """The running program, with the label of an Executor."""
    return ProgramInfo(_printable(label), _printable(_name()), _printable(socket.gethostname()), os.getpid())


def _name() -> str:
    """The notebook, script or module that runs, or the option with which Python was given the program.

    Jupyter names the notebook in ``JPY_SESSION_NAME`` (jupyter_server 2), Visual Studio Code in a global of
    ``__main__``.
    """
    main = sys.modules.get("__main__")
    notebook = getattr(main, "__vsc_ipynb_file__", None) or os.environ.get("JPY_SESSION_NAME")
    if notebook:
        return str(notebook)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return f"-m {spec.name.removesuffix('.__main__')}"
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if script in ("", "-", "-c"):
        return script or "interactive"
    return os.path.abspath(script)


def _printable(text: str) -> str:
    """The end of a text without lone surrogates, which are not UTF-8."""
    return text[-LONGEST:].encode("utf-8", "backslashreplace").decode()
