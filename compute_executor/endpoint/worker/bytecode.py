"""Refuses functions that another version of Python has compiled. In a worker whose interpreter is not the caller's.

A function that travels by value is bytecode, which each minor version of Python has its own of, and no interpreter
checks: running another's gives wrong results or a crash. So the one door through which cloudpickle and dill make code
objects is closed here; functions by name (of modules that are installed here) and by source are not concerned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from compute_executor.errors import ResultDecodeError


def guard(caller: str) -> None:
    """Close the door, if ``caller`` ("3.11") is another minor version than this interpreter."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if caller.split(".")[:2] == own.split("."):
        return
    import cloudpickle.cloudpickle
    import dill._dill

    from compute_executor.serialization import constructors

    message = (
        f"this function was compiled by Python {caller}, and this environment runs Python {own}, whose bytecode is "
        "another. Register its source (Client.register_source_code), install the module that defines it in the "
        f"environment, or build the environment with python_version={caller!r}"
    )
    cloudpickle.cloudpickle._builtin_type = _refusing(cloudpickle.cloudpickle._builtin_type, message)
    constructors.make_code = _refusing(None, message)
    dill._dill._create_code = _refusing(None, message)


def _refusing(allowed: Callable[[str], Any] | None, message: str) -> Callable[..., Any]:
    """In place of what makes code objects. cloudpickle asks for other types by the same way."""

    def make(*args: Any) -> Any:
        if allowed is not None and args != ("CodeType",):
            return allowed(*args)
        raise ResultDecodeError(message)

    return make
