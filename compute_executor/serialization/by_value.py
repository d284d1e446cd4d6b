"""Which functions, classes and modules travel by name, and where those that travel by value are at home.

By name travels what a worker can import: it has the caller's interpreter and search path. By value travels what only
the caller's process has: ``__main__``, modules made at run time or loaded from a path, what is local to a function,
and modules that were registered with ``cloudpickle.register_pickle_by_value``.
"""

from __future__ import annotations

import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from types import ModuleType
from typing import Any, NamedTuple


class Home(NamedTuple):
    """Where an object is found: in which namespace, under which dotted name."""

    names: dict[str, Any]
    path: tuple[str, ...]
    module: ModuleType | None
    """The module whose namespace it is; None if it is no module's."""

    def by_name(self) -> bool:
        """Return whether a worker finds it by importing that module."""
        return self.module is not None and travels_by_name(self.module)


def home(obj: Any) -> Home | None:
    """Return where ``obj`` is found by its own module and name; None if it is not."""
    name = getattr(obj, "__qualname__", None)
    if not isinstance(name, str):
        name = getattr(obj, "__name__", None)
    if not isinstance(name, str) or "<locals>" in name:
        return None
    path = tuple(name.split("."))
    module = sys.modules.get(getattr(obj, "__module__", None) or "")
    if isinstance(module, ModuleType) and found(vars(module), path) is obj:
        return Home(vars(module), path, module)
    names = getattr(obj, "__globals__", None)
    if isinstance(names, dict) and found(names, path) is obj:
        return Home(names, path, module_of(names))
    return None


def module_of(names: dict[str, Any]) -> ModuleType | None:
    """Return the loaded module whose namespace ``names`` is."""
    main = sys.modules.get("__main__")
    if main is not None and getattr(main, "__dict__", None) is names:
        return main
    module = sys.modules.get(names.get("__name__") or "")
    return module if getattr(module, "__dict__", None) is names else None


def loaded(name: str) -> ModuleType | None:
    """Return the module that is loaded under this name."""
    found = sys.modules.get(name)
    return found if isinstance(found, ModuleType) else None


def comes_along(name: str) -> ModuleType | None:
    """Return the module of that name that code cannot import in a worker, because only this process has it; None:
    there is none, or it is the program itself."""
    found = loaded(name)
    return None if found is None or is_main(found) or travels_by_name(found) else found


def importable(obj: Any) -> bool:
    """Return whether a worker gets this function or class by importing it."""
    found = home(obj)
    return found is not None and found.by_name()


def method_of_module(method: Any) -> tuple[str, str] | None:
    """Return the module that workers import, and the name in it, of a method that is a function of that module, as
    `random.random` is: of an object that each process has of its own."""
    owner, name = method.__self__, method.__name__
    if owner is None or isinstance(owner, (ModuleType, type)):
        return None
    for where in (method.__module__, type(owner).__module__):
        module = loaded(where) if isinstance(where, str) else None
        one = None if module is None else vars(module).get(name)
        if module is not None and type(one) is type(method) and one == method and travels_by_name(module):
            return module.__name__, name
    return None


def travels_by_name(module: ModuleType) -> bool:
    """Return whether workers import this module, rather than get it by value."""
    name = module.__name__
    return not is_main(module) and not registered(name) and can_be_imported(module)


def registered(name: str) -> bool:
    """Return whether the module, or a package that it is in, was registered to travel by value."""
    found = registrations()
    while found and name:
        if name in found:
            return True
        name = name.rpartition(".")[0]
    return False


def registrations() -> set[str]:
    """Return the names registered with cloudpickle."""
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    found: set[str] = getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", None) or set()
    return found


def can_be_imported(module: ModuleType) -> bool:
    """Return whether another process with this search path imports the same module under this name."""
    name = getattr(module, "__name__", "")
    known = _importable.get(name)
    if known is not None and known[0] is module:
        return known[1]
    verdict = _look_for(module, name)
    _importable[name] = (module, verdict)
    return verdict


_importable: dict[str, tuple[ModuleType, bool]] = {}
"""What was found out about modules, by name. Loaded modules are few, and live as long as the process."""


def is_main(module: ModuleType) -> bool:
    """Return whether it is the program itself."""
    return module is sys.modules.get("__main__") or module.__name__ == "__main__"


def _look_for(module: ModuleType, name: str) -> bool:
    root = name.partition(".")[0]
    if (
        root in sys.stdlib_module_names or root == __name__.partition(".")[0]
    ):  # which every worker has, found or not
        return True
    if sys.modules.get(name) is not module:
        return False
    parent, _, _ = name.rpartition(".")
    if parent:
        package = sys.modules.get(parent)
        if package is None or not can_be_imported(package):
            return False
        folders = getattr(package, "__path__", None)
        if folders is None:  # an extension module that makes its submodules itself
            return True
        return _is_at(module, name, list(folders))
    return _is_at(module, name, None)


def _is_at(module: ModuleType, name: str, folders: list[str] | None) -> bool:
    """Return whether the import system finds this very module when it is asked anew."""
    spec = getattr(module, "__spec__", None)
    origin = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if spec is None and origin is None:
        return folders is not None  # made by the package that it is in, as six does it
    for finder in (BuiltinImporter, FrozenImporter, PathFinder, *_others()):
        try:
            found = finder.find_spec(name, folders)
        except Exception:  # a finder of the program's that does not expect the question
            continue
        if found is not None:
            return origin is None or found.origin is None or found.origin == origin
    return False


def _others() -> list[Any]:
    """Finders that packages install for every interpreter of the environment (editable installations)."""
    return [
        finder
        for finder in sys.meta_path
        if getattr(finder, "__module__", "").startswith(("__editable__", "_virtualenv", "six"))
    ]


def found(names: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return what a dotted name stands for in a namespace; nothing that anything else is, if it stands for
    nothing."""
    value = names.get(path[0], _NOTHING)
    for name in path[1:]:
        try:
            value = getattr(value, name)
        except Exception:
            return _NOTHING
    return value


_NOTHING: Any = object()
