"""The globals that a function may need: those that its code looks up, and those that it may find without naming
them, because it evaluates text, looks into the namespace itself, or reads a pickle, which refers to functions and
classes by their names."""

from __future__ import annotations

import dis
import weakref
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

_GLOBAL = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"})
_IMPORT = frozenset({"IMPORT_NAME"})
_CLASS_BODY = frozenset({"LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_CALLED = frozenset({"globals", "eval", "exec"})
_NAMED = frozenset({"__main__", "__globals__"})
_IMPORTERS = frozenset({"__import__", "import_module"})
_NOTHING_YET = frozenset({"PUSH_NULL", "EXTENDED_ARG"})
"""What may come between the name of a function and its first argument."""
_READERS = frozenset({"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"})


class _Names(NamedTuple):
    """The names in code and in the code within it."""

    looked_up: dict[str, None]
    """Global names, in order."""
    in_classes: dict[str, None]
    """Names that a class body looks up: its own, or global ones."""
    words: frozenset[str]
    """Names of any kind: of attributes and modules, too."""
    imported: dict[str, None]
    """Modules that it imports, with the packages that they are in."""
    compared: frozenset[str]
    """Global names of what it compares by ``is``."""
    imports_any: bool
    """Whether it imports what it does not name, or the program itself."""

    @property
    def any(self) -> bool:
        """Whether the code may look into its namespace. ``model.eval()`` and ``net.modules()`` do not."""
        called = not (_CALLED.isdisjoint(self.looked_up) and _CALLED.isdisjoint(self.in_classes))
        named = not _NAMED.isdisjoint(self.words) or {"sys", "modules"} <= self.words
        return called or named or self.imports_any


def looked_up(code: CodeType) -> list[str]:
    """Return the global names that code reads, sets or deletes, in order."""
    return list(_names(code).looked_up)


def perhaps(code: CodeType, names: dict[str, Any]) -> list[str]:
    """Return those of ``names``, the function's namespace, that it may find besides."""
    found = _names(code)
    if found.any:
        return _plain(names)
    in_classes = [name for name in _plain(found.in_classes) if name in names]
    if _READERS.isdisjoint(found.words) and not any(_reads(names.get(name)) for name in found.looked_up):
        return in_classes
    kinds = type, FunctionType
    return in_classes + [name for name, value in list(names.items()) if isinstance(value, kinds)]


def imported(code: CodeType) -> list[str]:
    """Return the modules that code imports, and the packages that they are in."""
    return list(_names(code).imported)


def compared(code: CodeType) -> frozenset[str]:
    """Return the global names of what code compares by ``is``: of these an equal object is not as good."""
    return _names(code).compared


def may_find_any(code: CodeType) -> bool:
    """Return whether it may find whatever there is."""
    return _names(code).any


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)] if module else []


def _plain(names: Any) -> list[str]:
    return [name for name in names if not name.startswith("__")]


def _reads(value: Any) -> bool:
    """Return whether this is a module that reads pickles, or something out of one."""
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _READERS


_known: weakref.WeakKeyDictionary[CodeType, _Names] = weakref.WeakKeyDictionary()


def _names(code: CodeType) -> _Names:
    found = _known.get(code)
    if found is None:
        parts = list(_parts(code))
        modules = [module for part in parts for module in _called_imports(part)]
        found = _known[code] = _Names(
            dict.fromkeys(name for part in parts for name in _arguments(part, _GLOBAL)),
            dict.fromkeys(name for part in parts for name in _arguments(part, _CLASS_BODY)),
            frozenset(name for part in parts for name in part.co_names),
            dict.fromkeys(
                name
                for word in (*(word for part in parts for word in _arguments(part, _IMPORT)), *modules)
                for name in _packages(word)
            ),
            frozenset(name for part in parts for name in _compared(part)),
            "" in modules or "__main__" in modules,
        )
    return found


def _parts(code: CodeType) -> Iterator[CodeType]:
    """Code, and the code within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _arguments(code: CodeType, operations: frozenset[str]) -> Iterator[str]:
    for one in dis.get_instructions(code):
        if one.opname in operations:
            yield one.argval


def _compared(code: CodeType) -> Iterator[str]:
    """Yield the global names of what is an operand of ``is`` itself."""
    before: list[dis.Instruction] = []
    for one in dis.get_instructions(code):
        if one.opname == "IS_OP":
            yield from (operand.argval for operand in before if operand.opname in _GLOBAL)
        before = [*before[-1:], one]


def _called_imports(code: CodeType) -> Iterator[str]:
    """Yield the modules that ``__import__`` and `importlib.import_module` are called for; "" for one that is not
    named."""
    called = False
    for one in dis.get_instructions(code):
        if called and one.opname not in _NOTHING_YET:
            yield one.argval if one.opname == "LOAD_CONST" and isinstance(one.argval, str) else ""
            called = False
        elif not one.opname.startswith("STORE"):
            called = called or (one.argval in _IMPORTERS and one.opname.startswith("LOAD"))
    if called:
        yield ""
