"""Log records and warnings of a worker, for the program whose tasks it runs: a line of JSON each, in a file.

The root logger gets one handler, as a forked worker would have the program's; ``logging.basicConfig`` still
configures a worker that wants handlers of its own. ``logging`` is not imported for this: it is prepared when a task
imports it.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from typing import Any

from compute_executor.interpreter import after_import


def forward(file: int, program: dict[str, Any]) -> None:
    """Write records and warnings to ``file`` from now on. ``program``: `surroundings.messages`."""

    def prepare(logging: Any) -> None:
        _prepare(logging, file, program["levels"], program["disabled"])
        for number, name in program.get("names", {}).items():
            logging.addLevelName(number, name)

    _filter_warnings(program["warnings"])
    warnings.showwarning = functools.partial(_show, file)
    if "logging" in sys.modules:
        prepare(sys.modules["logging"])
    else:
        after_import("logging", prepare)


def _filter_warnings(filters: list[tuple[str, str, tuple[str, str], str, int]]) -> None:
    """Show the warnings that the program would."""
    warnings.resetwarnings()
    for action, message, (module, name), where, line in filters:
        category = getattr(sys.modules.get(module), name, None)
        if not (isinstance(category, type) and issubclass(category, Warning)):
            category = _ByName(name, (Warning,), {"__module__": module, "__qualname__": name})
        warnings.filterwarnings(action, message, category, where, line, append=True)  # type: ignore[arg-type]


class _ByName(type):
    """Metaclass of stand-ins for classes of warnings that are not here yet: of the program, or of a module that no
    task has imported so far."""

    def __subclasscheck__(cls, other: Any) -> bool:
        wanted = cls.__module__, cls.__qualname__
        return any((one.__module__, one.__qualname__) == wanted for one in getattr(other, "__mro__", ()))


def _prepare(logging: Any, file: int, levels: dict[str, int], disabled: int) -> None:
    class RecordForwarder(logging.Handler):  # type: ignore[misc]  # a class of a module that is given
        """Handler that writes each record as a line."""

        def emit(self, record: Any) -> None:
            try:
                _write(file, _plain(record, logging))
            except Exception:
                self.handleError(record)

    forwarder = RecordForwarder()
    logging.root.addHandler(forwarder)
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    if disabled:
        logging.disable(disabled)
    configure = logging.basicConfig

    @functools.wraps(configure)
    def basic_config(**options: Any) -> None:
        logging.root.removeHandler(forwarder)  # else basicConfig would find the root logger configured
        configure(**options)

    logging.basicConfig = basic_config


def _plain(record: Any, logging: Any) -> dict[str, Any]:
    """Return the attributes of a record, with its message and traceback as text."""
    fields = dict(record.__dict__)
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
    fields.update(msg=record.getMessage(), args=None, exc_info=None)
    fields.pop("message", None)
    return {"record": fields}


def _show(
    file: int,
    message: Any,
    category: type[Warning],
    filename: str,
    lineno: int,
    _stream: Any = None,
    _line: str | None = None,
) -> None:
    """Show a warning: what takes the place of ``warnings.showwarning``."""
    kind = [category.__module__, category.__qualname__]
    _write(file, {"warning": str(message), "category": kind, "filename": filename, "lineno": lineno})


def _write(file: int, document: dict[str, Any]) -> None:
    import json

    os.write(file, json.dumps(document, default=repr, skipkeys=True).encode() + b"\n")
