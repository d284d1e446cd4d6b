"""What a script has set in modules that it imports: `config.DEBUG = True`, `plt.rcParams["lines.linewidth"] = 2`,
`@plugins.register`. Workers import these modules afresh, and get it as the script has it when its workers start.

What it is, is found in the text of the script, and its value in the modules; calls that set something are made again
there (`setting_calls`). What other modules do to each other is in no text of the script's and is not found.
"""

from __future__ import annotations

import ast
import collections
import functools
import itertools
import linecache
import re
import sys
import warnings
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from compute_executor.errors import SerializationError
from compute_executor.functions import setting_calls
from compute_executor.serialization import by_value, native
from compute_executor.serialization.set_in_modules import (
    CALL,
    CONTENT,
    DISPATCH,
    ITEM,
    VALUE,
    ModuleChange,
    reached,
)

MAX_BYTES = 1 << 20
"""Of what travels with the description of a pool."""
_CHANGING = frozenset(
    {
        "update",
        "setdefault",
        "pop",
        "popitem",
        "clear",
        "append",
        "extend",
        "insert",
        "remove",
        "add",
        "discard",
    }
    | {"appendleft", "sort", "reverse", "__setitem__", "__delitem__"}
)
_CONTAINERS = (dict, list, set, collections.OrderedDict, collections.defaultdict, collections.deque)
_LEFT_ALONE = frozenset({"compute_executor", "IPython", "ipykernel", "linecache", "builtins", "atexit"})
"""Modules of which workers get what matters in other ways, or that are each process's own."""
_CARRIED_OTHERWISE = frozenset(
    {"os.environ", "os.environb", "warnings.filters", "warnings.showwarning", "logging.root"}
    | {
        f"sys.{name}"
        for name in ("path", "argv", "modules", "meta_path", "path_hooks", "path_importer_cache")
    }
    | {f"sys.{name}" for name in ("stdin", "stdout", "stderr", "warnoptions", "flags", "exit", "_getframe")}
)
"""The same for single names."""
_IN_SYS = (bool, int, float, str, type(None), dict, list, tuple, set, FunctionType)
"""What a script sets in sys, as far as it is no stream and no part of the import system."""
_WORKERS_RUN_ON = frozenset(
    {"pickle", "_pickle", "cloudpickle", "dill", "struct", "_struct", "marshal", "mmap", "io", "_io"}
    | {"select", "selectors", "fcntl", "errno", "importlib", "types", "weakref", "traceback"}
)
"""Modules without which a worker cannot take a task or give its result: it would end if they were changed."""
WORKERS_USE: dict[str, frozenset[str]] = {
    name: frozenset(names.split())
    for name, names in {
        "os": """
            _exit close dup dup2 execv fork fsdecode fsencode fspath fstat fsync ftruncate getpgrp
            getpid getppid getpriority getsid kill killpg listdir lseek open path pidfd_open
            posix_fallocate read readlink rename replace sched_getaffinity sched_getparam
            sched_getscheduler sched_param sched_setaffinity sched_setscheduler set_inheritable
            setpriority setsid stat sysconf umask unlink urandom wait waitid waitpid
            waitstatus_to_exitcode write writev
        """,
        "threading": "Event Lock RLock Thread active_count get_ident local",
        "signal": "getsignal pthread_sigmask signal valid_signals",
        "sys": "_current_frames getrefcount intern",
    }.items()
}
"""The same for names of others."""
_WORTH_A_LOOK = re.compile(r"^\s*@|^\w+\(|\.\w+(\[.*\])?\s*([-+*/|&]?=[^=]|\()|\bsetattr\(", re.MULTILINE)


_REPLACED = "replaced"
"""The kind of a target that is a value if it is not the module's own."""
_SEEDS = re.compile(r"seed\(|set_?state\(")


class _Target(NamedTuple):
    """What the text of a script changes: a dotted name from one of its own, and how."""

    root: str
    path: tuple[str, ...]
    kind: str
    key: Any = None


def observe() -> dict[str, bytes]:
    """For each module that the program has changed: the stream of the changes, in their order."""
    main = sys.modules.get("__main__")
    if not isinstance(main, ModuleType):
        return {}
    text = "".join(_texts(main))
    if not _WORTH_A_LOOK.search(text):
        return {}
    aliases, targets = _read(text)
    found: dict[str, dict[tuple[Any, ...], ModuleChange]] = {}
    for target in targets:
        for module, change in _changes(target, aliases, vars(main)):
            found.setdefault(module, {})[change.path, change.kind, repr(change.key)] = change
    for module, change in _setting_calls(text, main, aliases):
        found.setdefault(module, {})[change.path, change.kind, repr(change.key)] = change
    for module, change in _accessors():
        found.setdefault(module, {})[change.path, change.kind, ""] = change
    streams = {module: _stream(module, list(changes.values())) for module, changes in found.items()}
    return {module: stream for module, stream in streams.items() if stream}


def seeded() -> dict[str, tuple[str, int]]:
    """Return the generators of random numbers that the text of the program seeds: the module of each, with the file
    and line where it does."""
    main = sys.modules.get("__main__")
    text = "".join(_texts(main)) if isinstance(main, ModuleType) else ""
    if not isinstance(main, ModuleType) or not _SEEDS.search(text):
        return {}
    tree, (aliases, _) = _parsed(text), _read(text)
    found: dict[str, tuple[str, int]] = {}
    for node in () if tree is None else ast.walk(tree):
        names = _names(node.func) if isinstance(node, ast.Call) else None
        if names is not None and isinstance(node, ast.Call):
            name, path = _place(_Target(names[0], names[1:], CALL), aliases, vars(main))
            if ".".join((name, *path)) in setting_calls.SEEDING:
                found.setdefault(name, (getattr(main, "__file__", None) or "<script>", node.lineno))
    return found


# -- the text -----------------------------------------------------------------------------------------------


def _texts(main: ModuleType) -> list[str]:
    """Return the text of the script, or of the cells of a notebook."""
    cells = vars(main).get("In")
    if isinstance(cells, list) and "get_ipython" in vars(main):
        return [f"{cell}\n" for cell in cells if isinstance(cell, str) and _parsed(cell) is not None]
    file = getattr(main, "__file__", None)
    if isinstance(file, str):
        return linecache.getlines(file)
    if "-c" in sys.orig_argv[:-1]:
        return [sys.orig_argv[sys.orig_argv.index("-c") + 1]]
    return []


@functools.lru_cache(maxsize=2)
def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text, which Python has given already
            return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=4)
def _read(text: str) -> tuple[dict[str, tuple[str, tuple[str, ...]]], list[_Target]]:
    """Return what names the script imports, each with module and dotted name in it; and what it changes."""
    tree = _parsed(text)
    aliases: dict[str, tuple[str, tuple[str, ...]]] = {}
    targets: list[_Target] = []
    for node in _statements(tree.body) if tree is not None else ():
        if isinstance(node, ast.Import):
            for one in node.names:
                name = one.name if one.asname else one.name.partition(".")[0]
                aliases[one.asname or name] = name, ()
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                aliases[one.asname or one.name] = node.module, (one.name,)
        else:
            targets += _targets(node)
    return aliases, targets


def _statements(body: list[Any]) -> Iterator[ast.AST]:
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


def _targets(node: ast.AST) -> Iterator[_Target]:
    if isinstance(node, ast.Assign):
        yield from itertools.chain.from_iterable(map(_assigned, node.targets))
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        yield from _assigned(node.target)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for one in node.decorator_list:
            yield from _used(one.func if isinstance(one, ast.Call) else one)
    value = getattr(node, "value", None)
    if isinstance(node, (ast.Expr, ast.Assign)) and isinstance(value, ast.Call):
        yield from _called(value)
        yield from _patched(value)
    for item in getattr(node, "items", ()):
        yield from _patched(item.context_expr)


def _assigned(node: ast.expr) -> Iterator[_Target]:
    if isinstance(node, (ast.Tuple, ast.List)):
        yield from itertools.chain.from_iterable(map(_assigned, node.elts))
    elif isinstance(node, ast.Attribute):
        if (names := _names(node)) is not None:
            yield _Target(names[0], names[1:], VALUE)
    elif isinstance(node, ast.Subscript) and (names := _names(node.value)) is not None:
        if isinstance(node.slice, ast.Constant):
            yield _Target(names[0], names[1:], ITEM, node.slice.value)
        else:
            yield _Target(names[0], names[1:], CONTENT)


def _called(node: ast.Call) -> Iterator[_Target]:
    names = _names(node.func)
    if names is not None and len(names) > 1 and names[-1] in _CHANGING:
        yield _Target(names[0], names[1:-1], CONTENT)
    elif names == ("setattr",) and len(node.args) == 3 and isinstance(node.args[1], ast.Constant):
        holder = _names(node.args[0])
        if holder is not None:
            yield _Target(holder[0], (*holder[1:], str(node.args[1].value)), VALUE)
    elif any(isinstance(one, ast.Name) for one in node.args):
        yield from _used(node.func)


def _patched(expression: ast.expr) -> Iterator[_Target]:
    """Yield what `unittest.mock.patch` may have replaced."""
    for node in ast.walk(expression):
        names = _names(node.func) if isinstance(node, ast.Call) and node.args else None
        if names is None or not isinstance(node, ast.Call):
            continue
        words = [
            one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]
        if names[-1] == "patch" and words:
            yield _Target("", tuple(words[0].split(".")), _REPLACED)
        elif names[-2:] == ("patch", "object") and words and (holder := _names(node.args[0])):
            yield _Target(holder[0], (*holder[1:], words[0]), _REPLACED)


def _used(node: ast.expr) -> Iterator[_Target]:
    """Yield a function that is called with something of the script's, which it may put somewhere."""
    names = _names(node)
    if names is not None:
        yield _Target(names[0], names[1:], "call")


def _names(node: ast.expr) -> tuple[str, ...] | None:
    """Return the names of a dotted one; None: it is something else."""
    found: list[str] = []
    while isinstance(node, ast.Attribute):
        found.append(node.attr)
        node = node.value
    return (node.id, *reversed(found)) if isinstance(node, ast.Name) else None


# -- the modules --------------------------------------------------------------------------------------------


def _changes(
    target: _Target, aliases: dict[str, tuple[str, tuple[str, ...]]], names: dict[str, Any]
) -> Iterator[tuple[str, ModuleChange]]:
    """Yield the changes that a target stands for, each with its module."""
    name, path = _place(target, aliases, names)
    module = by_value.loaded(name)
    if module is None or not _is_imported(module):
        return
    if target.kind == "call":
        yield from _registrations(module, path)
        return
    if not path:
        return
    try:
        value = reached(module, path)
        if target.kind == ITEM:
            value = value[target.key]
    except Exception:  # it is not there by now, or an attribute that raises
        return
    if _is_carried(name, path, target.kind, value):
        yield name, ModuleChange(path, VALUE if target.kind == _REPLACED else target.kind, target.key, value)


def _is_carried(name: str, path: tuple[str, ...], kind: str, value: Any) -> bool:
    """Return whether workers get what a script has set there."""
    if kind == CONTENT and type(value) not in _CONTAINERS:
        return False
    if kind == _REPLACED and by_value.importable(value):
        return False
    if (name == "sys" and type(value) not in _IN_SYS) or isinstance(value, ModuleType):
        return False
    is_hidden = (name, path, kind) == ("sys", ("modules",), ITEM) and value is None
    return is_hidden or f"{name}.{path[0]}" not in _CARRIED_OTHERWISE


def _setting_calls(
    text: str, main: ModuleType, aliases: dict[str, tuple[str, tuple[str, ...]]]
) -> Iterator[tuple[str, ModuleChange]]:
    """Yield the calls that set something in a module, each with the module."""
    tree = _parsed(text)
    for call in () if tree is None else setting_calls.that_ran(tree, main):
        names = _names(call.func)
        if names is None:
            continue
        name, path = _place(_Target(names[0], names[1:], CALL), aliases, vars(main))
        module = by_value.loaded(name)
        if (
            module is None
            or not path
            or not (_is_imported(module) and setting_calls.is_setting(name, path, call))
        ):
            continue
        kept = list(_registrations(module, path))
        yield from kept
        function = None if kept else setting_calls.repeated(call, main)
        if function is not None:
            yield name, ModuleChange(path, CALL, (call.lineno, call.col_offset), function)


def _place(
    target: _Target, aliases: dict[str, tuple[str, tuple[str, ...]]], names: dict[str, Any]
) -> tuple[str, tuple[str, ...]]:
    """Module, and dotted name in it. A package's modules are followed as far as they go."""
    found = names.get(target.root)
    if isinstance(found, ModuleType):
        name, path = found.__name__, target.path
    elif target.root in aliases:
        name, first = aliases[target.root]
        path = (*first, *target.path)
    elif not target.root:
        name, path = target.path[0], target.path[1:]
    else:
        return "", ()
    while path and by_value.loaded(f"{name}.{path[0]}") is not None:
        name, path = f"{name}.{path[0]}", path[1:]
    return name, path


def _is_imported(module: ModuleType) -> bool:
    return module.__name__.partition(".")[0] not in _LEFT_ALONE and by_value.travels_by_name(module)


def _registrations(module: ModuleType, path: tuple[str, ...]) -> Iterator[tuple[str, ModuleChange]]:
    """Yield where a function of a module, or of an object in it, has put functions and classes of the script's."""
    try:
        function = reached(module, path)
        owner = reached(module, path[:-1])
    except Exception:
        return
    if getattr(owner, "registry", None) is not None and hasattr(owner, "dispatch"):
        own = [(kind, one) for kind, one in owner.registry.items() if _is_own(kind) or _is_own(one)]
        if own:
            yield module.__name__, ModuleChange(path[:-1], DISPATCH, None, own)
        return
    home = by_value.loaded(getattr(function, "__module__", None) or "")
    if not isinstance(owner, ModuleType) and path:
        yield from _holding(module, path[:-1], owner)
    elif home is not None and _is_imported(home):
        yield from _holding(home, (), home)


def _holding(module: ModuleType, path: tuple[str, ...], owner: Any) -> Iterator[tuple[str, ModuleChange]]:
    """Yield the containers of an object that hold something of the script's."""
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if type(value) not in _CONTAINERS or name.startswith("__"):
            continue
        inside = (*value, *value.values()) if isinstance(value, dict) else (*value,)
        if any(map(_is_own, inside)):
            yield module.__name__, ModuleChange((*path, name), CONTENT, None, value)


def _accessors() -> Iterator[tuple[str, ModuleChange]]:
    """Classes of the script's that are attributes of a library's tables and arrays."""
    for name, classes in _WITH_ACCESSORS.items():
        module = by_value.loaded(name)
        for kind in classes if module is not None else ():
            for short, value in list(vars(getattr(module, kind, object)).items()):
                if _is_own(getattr(value, "_accessor", None)):
                    yield name, ModuleChange((kind, short), VALUE, None, value)


_WITH_ACCESSORS = {"pandas": ("Series", "DataFrame", "Index"), "xarray": ("DataArray", "Dataset")}


def _is_own(obj: Any) -> bool:
    return isinstance(obj, (FunctionType, type)) and not by_value.importable(obj)


def _stream(module: str, changes: list[ModuleChange]) -> bytes:
    """Return the stream of the changes that can travel; a warning about each that cannot."""
    good = []
    for change in changes:
        where = ".".join((module, *change.path)) + (f"[{change.key!r}]" if change.kind == ITEM else "")
        what = f"{where}() is called" if change.kind == CALL else f"{where} is set"
        if trouble := _trouble(module, change):
            warnings.warn(
                f"{what} by the script and does not travel to its workers, which import {module} afresh: "
                f"{trouble}.",
                stacklevel=2,
            )
        else:
            good.append(change)
    return native.dumps(good) if good else b""


def _trouble(module: str, change: ModuleChange) -> str:
    """Return why a change cannot travel, and what to do; empty if it can."""
    if module.partition(".")[0] in _WORKERS_RUN_ON:
        return "they exchange tasks and results by that module. Set it in the task, and back at its end"
    if change.kind != CALL and change.path[0] in WORKERS_USE.get(module, ()):
        return "they run on it themselves. Set it in the task, and back at its end"
    elsewhere = ". Set it in an initializer, or in the task"
    try:
        if len(native.dumps(change.value)) > MAX_BYTES:
            return f"it has more than {MAX_BYTES:,} bytes{elsewhere}"
    except SerializationError as error:
        return str(error).partition(". Pass something")[0] + elsewhere
    return ""
