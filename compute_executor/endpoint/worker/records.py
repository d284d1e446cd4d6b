"""Log records and warnings of a worker, for the program whose tasks it runs: a line of JSON each, in a file.

The root logger gets one handler, as a forked worker would have the program's; ``logging.basicConfig`` still
configures a worker that wants handlers of its own. ``logging`` is not imported for this: it is prepared when a task
imports it.
"""

from __future__ import annotations

import functools
import os
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any


def forward(file: int, program: dict[str, Any]) -> None:
    """Write records and warnings to ``file`` from now on. ``program``: `surroundings.messages`."""

    def prepare(logging: Any) -> None:
        _prepare(logging, file, program["levels"], program["disabled"])

    _filter_warnings(program["warnings"])
    warnings.showwarning = functools.partial(_show, file)
    if "logging" in sys.modules:
        prepare(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, AfterImport("logging", prepare))


class AfterImport:
    """Finder that calls a function with a module as soon as it is imported, and then takes itself away."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        """importlib's question to an entry of sys.meta_path."""
        if name != self._name:
            return None
        from importlib.machinery import PathFinder

        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                execute(module)
                self._then(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _filter_warnings(filters: list[tuple[str, str, tuple[str, str], str, int]]) -> None:
    """Show the warnings that the program would. Filters of classes that are not imported here are left out."""
    warnings.resetwarnings()
    for action, message, (module, name), where, line in filters:
        category = getattr(sys.modules.get(module), name, None)
        if isinstance(category, type) and issubclass(category, Warning):
            warnings.filterwarnings(action, message, category, where, line, append=True)  # type: ignore[arg-type]


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
    """The attributes of a record, with its message and traceback as text."""
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
    """What takes the place of ``warnings.showwarning``."""
    kind = [category.__module__, category.__qualname__]
    _write(file, {"warning": str(message), "category": kind, "filename": filename, "lineno": lineno})


def _write(file: int, document: dict[str, Any]) -> None:
    import json

    os.write(file, json.dumps(document, default=repr, skipkeys=True).encode() + b"\n")
