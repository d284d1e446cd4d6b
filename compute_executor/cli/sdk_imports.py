"""Imports of the Globus Compute SDK in a program, and what they become here. No I/O.

Names are changed in place, so that the program keeps its form: ``import globus_compute_sdk as gc`` becomes
``import compute_executor as gc``, and what follows stays. What has no counterpart is left as it is, and told.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

SDK, OURS = "globus_compute_sdk", "compute_executor"

_PUBLIC = ("Client", "Executor", "MPIFunction", "ShellFunction", "ShellResult")
_ERRORS = (
    *("ComputeError", "DeserializationError", "MaxResultSizeExceeded", "SerdeError", "SerializationError"),
    *("TaskExecutionFailed", "TaskPending", "VersionMismatch"),
)
_SERIALIZE = (
    *(
        "AllCodeStrategies",
        "AllDataStrategies",
        "AllowlistWildcard",
        "CombinedCode",
        "ComboSerializationStrategy",
    ),
    *("ComputeSerializer", "DEFAULT_STRATEGY_CODE", "DEFAULT_STRATEGY_DATA", "DillCode", "DillCodeSource"),
    *("DillCodeTextInspect", "DillDataBase64", "JSONData", "PureSourceDill", "PureSourceTextInspect"),
    "SerializationStrategy",
)


def _here(module: str, *names: str) -> dict[str, str]:
    return {name: f"{OURS}{module}.{name}" for name in names}


COUNTERPARTS: Mapping[str, Mapping[str, str]] = {
    SDK: _here("", *_PUBLIC) | {name: f"{OURS}.{name}" for name in ("errors", "serialize")},
    f"{SDK}.sdk.client": _here("", "Client"),
    f"{SDK}.sdk.executor": _here("", "Executor", "ComputeFuture"),
    f"{SDK}.sdk.asynchronous.compute_future": _here("", "ComputeFuture"),
    f"{SDK}.sdk.shell_function": _here("", "ShellFunction", "ShellResult"),
    f"{SDK}.sdk.mpi_function": _here("", "MPIFunction"),
    f"{SDK}.sdk.batch": _here(".sdk.batch", "Batch"),
    f"{SDK}.sdk.login_manager": _here(".sdk.login_manager", "LoginManager"),
    f"{SDK}.errors": _here(".errors", *_ERRORS),
    f"{SDK}.errors.error_types": _here(".errors", *_ERRORS),
    **{
        f"{SDK}.serialize{part}": _here(".serialize", *_SERIALIZE)
        for part in ("", ".base", ".concretes", ".facade")
    },
    "funcx": {"FuncXClient": f"{OURS}.Client", "FuncXExecutor": f"{OURS}.Executor"},
    "funcx.sdk.client": {"FuncXClient": f"{OURS}.Client"},
    "funcx.sdk.executor": {"FuncXExecutor": f"{OURS}.Executor"},
}
"""The names of the SDK's modules (and of its predecessor's), and where each is here."""

PACKAGES = (SDK, "funcx")


class Change(NamedTuple):
    """Text to replace, by its place in the program (characters from 0)."""

    start: int
    end: int
    text: str


class Remark(NamedTuple):
    """What a person has to look at, on a line (from 1)."""

    line: int
    text: str


class Findings(NamedTuple):
    """What is to be done to a program."""

    changes: list[Change]
    remarks: list[Remark]

    def apply(self, source: str) -> str:
        """Return the program with its changes made."""
        for change in sorted(self.changes, reverse=True):
            source = source[: change.start] + change.text + source[change.end :]
        return source


def find(source: str, keywords: Mapping[str, set[str]]) -> Findings:
    """Return what is to change in a program. ``keywords``: those that classes take here, by class; others are told.
    Raises SyntaxError for what is no Python."""
    return _Search(source, keywords).run()


class _Search(ast.NodeVisitor):
    def __init__(self, source: str, keywords: Mapping[str, set[str]]) -> None:
        self._source = source
        self._keywords = keywords
        self._found = Findings([], [])
        self._modules: dict[str, str] = {}  # local name to module of the SDK
        self._classes: dict[str, str] = {}  # local name to the name here
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def run(self) -> Findings:
        tree = ast.parse(self._source)
        for node in ast.walk(tree):  # imports first: functions may use what is imported below them
            if isinstance(node, ast.ImportFrom):
                self._from_import(node)
            elif isinstance(node, ast.Import):
                self._import(node)
        self.visit(tree)
        return Findings(sorted(set(self._found.changes)), sorted(set(self._found.remarks)))

    # -- imports ---------------------------------------------------------------------------------------------

    def _from_import(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or not _is_sdk(module):
            return
        known = COUNTERPARTS.get(module, {})
        parts: dict[str, list[str]] = {}
        for alias in node.names:
            new = known.get(alias.name)
            if new is None:
                self._remark(node, f"{module}.{alias.name} has no counterpart here")
                parts.setdefault(module, []).append(_named(alias.name, alias.asname))
                continue
            home, _, name = new.rpartition(".")
            local = alias.asname or alias.name
            parts.setdefault(home, []).append(_named(name, local if local != name else None))
            self._classes[local] = new
        if parts.keys() == {module}:
            return
        if len(parts) == 1 and all(known[alias.name].endswith(f".{alias.name}") for alias in node.names):
            self._replace_in(node, module, next(iter(parts)))  # the lines of the names stay as they are
            return
        indent = " " * node.col_offset
        lines = [f"from {home} import {', '.join(names)}" for home, names in parts.items()]
        self._change(node, f"\n{indent}".join(lines))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            if not _is_sdk(alias.name):
                continue
            self._modules[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            if alias.name in COUNTERPARTS:
                self._replace_in(alias, alias.name, _home(alias.name))
            else:
                self._remark(alias, f"the module {alias.name} has no counterpart here")

    # -- uses ------------------------------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Change a name of a module that was imported as a whole."""
        path = _dotted(node)
        module = self._modules.get(path[0]) if path else None
        if module is None:
            self.generic_visit(node)
            return
        old = [*module.split("."), *path[1:]]
        new = _counterpart(old)
        if new is None:
            self._remark(node, f"{'.'.join(old)} has no counterpart here")
            return
        aliased = path[0] not in PACKAGES
        home = _home(module)
        if aliased and new.startswith(f"{home}."):
            new = path[0] + new.removeprefix(home)
        if new != ".".join(path):
            self._change(node, new)

    def visit_Name(self, node: ast.Name) -> None:
        """Change the package itself, without a name of it."""
        module = self._modules.get(node.id)
        if module in PACKAGES and node.id in PACKAGES:
            self._change(node, _home(module))

    def visit_Call(self, node: ast.Call) -> None:
        """Change arguments that are other ones here."""
        path = _dotted(node.func)
        kind = self._called(path)
        for text in self._about_call(kind, path[-1] if path else "", node):
            self._remark(node, text)
        self.generic_visit(node)

    def _called(self, path: list[str]) -> str:
        if not path:
            return ""
        if len(path) == 1:
            return self._classes.get(path[0], "").rpartition(".")[2]
        module = self._modules.get(path[0])
        new = None if module is None else _counterpart([*module.split("."), *path[1:]])
        return "" if new is None else new.rpartition(".")[2]

    def _about_call(self, kind: str, name: str, node: ast.Call) -> Iterator[str]:
        given = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
        for keyword in sorted(given - self._keywords.get(kind, given)):
            yield f"{kind} takes no {keyword} here"
        if kind == "Executor" and not node.args and not given & {"endpoint_id", "container_id"}:
            yield "without endpoint_id, the calls of an Executor run on this machine"
        if kind == "Batch":
            yield "batches are made by Client.create_batch"
        if name == "register_function" and len(node.args) > 1 and self._uses_client():
            yield "Client.register_function takes function_name and container_uuid second; pass others by keyword"

    def _uses_client(self) -> bool:
        return bool(self._modules) or f"{OURS}.Client" in self._classes.values()

    # -- places ----------------------------------------------------------------------------------------------

    def _replace_in(self, node: ast.ImportFrom | ast.alias, old: str, new: str) -> None:
        start, end = self._place(node)
        found = re.compile(rf"(?<![\w.]){re.escape(old)}(?![\w.])").search(self._source, start, end)
        if found is not None and old != new:
            self._found.changes.append(Change(found.start(), found.end(), new))

    def _change(self, node: ast.stmt | ast.expr, text: str) -> None:
        self._found.changes.append(Change(*self._place(node), text))

    def _remark(self, node: ast.stmt | ast.expr | ast.alias, text: str) -> None:
        self._found.remarks.append(Remark(node.lineno, text))

    def _place(self, node: ast.stmt | ast.expr | ast.alias) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        """Return a place as the parser says it, which counts bytes."""
        start = self._starts[line - 1]
        text = self._source[start : self._starts[line]].encode()[:column]
        return start + len(text.decode())


def _is_sdk(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def _named(name: str, local: str | None) -> str:
    return name if local is None else f"{name} as {local}"


def _home(module: str) -> str:
    """Return the module that is imported in place of one of the SDK's as a whole."""
    if module in (f"{SDK}.errors", f"{SDK}.serialize", f"{SDK}.sdk.batch", f"{SDK}.sdk.login_manager"):
        return OURS + module.removeprefix(SDK)
    return next(iter(COUNTERPARTS[module].values())).rpartition(".")[0]


def _dotted(node: ast.AST) -> list[str]:
    """``a.b.c`` as its parts; nothing for what is no such name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _counterpart(path: list[str]) -> str | None:
    """Return what a dotted name is here, with what follows it."""
    for length in range(len(path) - 1, 0, -1):
        known = COUNTERPARTS.get(".".join(path[:length]))
        if known is not None and path[length] in known:
            return ".".join([known[path[length]], *path[length + 1 :]])
    return None
