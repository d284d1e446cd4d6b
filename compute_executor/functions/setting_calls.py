"""Calls by which the text of a script sets something in the modules that it imports, of which the modules do not tell
afterwards in general: `codecs.register(find)`, `csv.register_dialect("mine", delimiter=";")`, `gc.disable()`. Workers
make the same calls.

Only what surely has run counts: statements of the script's own level, before the one that runs now.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

_SETTING = re.compile(
    r"(set|register|enable|disable|use)(_\w+|[A-Z]\w*)?|setfirstweekday|seterrcall|settrace|setprofile"
)
_SETTING_IN_PYTHON = re.compile(r"(add|install|reset)_\w+")
"""Names of functions that set something; those of Python's own modules may have other names."""
_NOT_HERE = re.compile(
    r"(os|posix|sys|warnings|atexit)\.|.*seed\w*$|numpy\.random\.set_state$"
    r"|asyncio\.set_(event_loop|child_watcher)$|signal\.set|multiprocessing\.set_forkserver"
)
"""What workers get in other ways, or what is each process's own."""
_BY_STATE = frozenset({"numpy.set_printoptions", "pandas.set_option", "logging.disable", "matplotlib.use"})
"""What workers get as the program has it, if it is plain."""
_OF_TASKS = frozenset({"SIGALRM", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF"})
"""Signals by which a task interrupts itself; others are for the program."""

SEEDING = frozenset({"random.seed", "random.setstate", "numpy.random.seed", "numpy.random.set_state"})
"""Functions that seed a generator of numbers that all of a process share."""


def is_setting(module: str, path: tuple[str, ...], call: ast.Call) -> bool:
    """Return whether a call of this dotted name of a module is one that workers are to repeat."""
    whole = ".".join((module, *path))
    if whole == "signal.signal":
        return bool(call.args) and getattr(call.args[0], "attr", getattr(call.args[0], "id", "")) in _OF_TASKS
    if _NOT_HERE.match(whole) or (whole in _BY_STATE and _is_plain(call)):
        return False
    if module.partition(".")[0] in sys.stdlib_module_names and _SETTING_IN_PYTHON.fullmatch(path[-1]):
        return True
    return _SETTING.fullmatch(path[-1]) is not None


def _is_plain(call: ast.Call) -> bool:
    return all(isinstance(one, ast.Constant) for one in (*call.args, *(word.value for word in call.keywords)))


def that_ran(tree: ast.Module, main: ModuleType) -> Iterator[ast.Call]:
    """Yield the calls among the statements of a script's own level that have run."""
    line = _present_line(main)
    for node in _own_level(tree.body):
        value = node.value if isinstance(node, (ast.Expr, ast.Assign)) else None
        if isinstance(value, ast.Call) and (line is None or (node.end_lineno or 0) < line):
            yield value


def _own_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in _IS_MAIN:
            yield from node.body


_IS_MAIN = frozenset({"__name__ == '__main__'", "'__main__' == __name__"})


def _present_line(main: ModuleType) -> int | None:
    """Return the line of the script that runs now; None: it has run."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_globals is vars(main) and frame.f_code.co_name == "<module>":
            return frame.f_lineno
        frame = frame.f_back
    return None


def repeated(call: ast.Call, main: ModuleType) -> Callable[[], Any] | None:
    """Return a function of the script that makes the call; None: it names something that is not there by now."""
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    text = ast.fix_missing_locations(ast.Expression(ast.copy_location(ast.Lambda(nothing, call), call)))
    names = vars(main)
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    own = {node.arg for node in ast.walk(call) if isinstance(node, ast.arg)}
    own |= {
        node.id for node in ast.walk(call) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    if not all(name in names or name in own or hasattr(builtins, name) for name in used):
        return None
    made: Callable[[], Any] = eval(
        compile(text, getattr(main, "__file__", None) or "<script>", "eval"), names
    )
    return made
