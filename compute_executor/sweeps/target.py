"""``FILE.py:FUNCTION`` or ``package.module:function``: the function to sweep, loaded so that workers can load it too.

The file is imported as a module named after it, with its folder on ``sys.path``: its siblings can be imported,
``if __name__ == "__main__"`` does not run, and workers on this machine, which see this process's ``sys.path``,
import the same module. A file inside a package (its folder has ``__init__.py``) is imported under its full
name, so that its relative imports work.

Where workers cannot import it, the function travels by value (cloudpickle): when its name is taken by another
module (a file called ``random.py``), is no module name (``model.v2.py``), or when the workers may be on another
machine; then the modules of its folder travel along.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from compute_executor.errors import InvalidRequest


def load(target: str, *, elsewhere: bool = False) -> Callable[..., Any]:
    """Return the function that ``target`` names. ``elsewhere``: the workers do not see this machine's files.

    Raises InvalidRequest: no such file, an error while it is imported, no such function, not callable.
    """
    file, colon, name = target.rpartition(":")
    if not colon or not file or not name:
        raise InvalidRequest(f"{target}: write FILE.py:FUNCTION, for example model.py:simulate")
    path = Path(file)
    if not path.exists() and path.suffix != ".py" and all(part.isidentifier() for part in file.split(".")):
        return _function(_installed(file, elsewhere), file, name)
    if not path.is_file() or path.suffix != ".py":
        raise InvalidRequest(f"{file} is {'not a .py file' if path.exists() else 'not there'}")
    module = _import(path.resolve(), elsewhere)
    return _function(module, file, name)


def _installed(name: str, elsewhere: bool) -> ModuleType:
    """Return the module of a dotted name: installed, or below the working directory. Elsewhere it must be
    installed."""
    folder = str(Path.cwd())
    if not elsewhere and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise InvalidRequest(f"cannot load {name}: {type(error).__name__}: {error}") from error


def check_parameters(function: Callable[..., Any], names: Sequence[str]) -> None:
    """Raise InvalidRequest unless ``function`` can be called with just these keyword arguments."""
    parameters = signature(function)
    if parameters is None:
        return
    what = f"{getattr(function, '__name__', 'the function')}{inspect.Signature(list(parameters.values()))}"
    _check_unknown(parameters, names, what)
    missing = [p.name for p in parameters.values() if _required(p) and p.name not in names]
    if missing:
        raise InvalidRequest(
            f"{what} needs {', '.join(missing)}: add --grid {missing[0]}=... or a table column"
        )


def signature(function: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """Return the parameters of ``function`` by name; None for a builtin that does not tell."""
    try:
        return dict(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        return None


def accepted(function: Callable[..., Any]) -> set[str] | None:
    """Return the names that ``function`` takes as keywords; None if it takes any."""
    parameters = signature(function)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return {p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def optional_parameters(function: Callable[..., Any]) -> set[str]:
    """Return the names that may be left out because they have a default."""
    return {p.name for p in (signature(function) or {}).values() if p.default is not p.empty}


def _check_unknown(parameters: dict[str, inspect.Parameter], names: Sequence[str], what: str) -> None:
    by_name = {p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in names:
        if name not in by_name and (not any_name or name in parameters):
            raise InvalidRequest(f"{what} takes no keyword argument {name!r}{_hint(name, sorted(by_name))}")


def _required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _import(path: Path, elsewhere: bool) -> ModuleType:
    root, name = _module_name(path)
    for folder in (path.parent, root):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        module = _by_name(path, name)
    except (Exception, SystemExit) as error:
        raise InvalidRequest(
            f"cannot load {path}: {_where(error, path)}{type(error).__name__}: {error}"
        ) from error
    if elsewhere:
        _travel_by_value(root)
    return module


def _module_name(path: Path) -> tuple[Path, str]:
    """Return the folder to import from, and the dotted name there: one up for every ``__init__.py``."""
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").is_file() and root != root.parent:
        names.insert(0, root.name)
        root = root.parent
    return root, ".".join(names)


def _by_name(path: Path, name: str) -> ModuleType:
    taken = "." in path.stem or name == "__main__" or name in sys.stdlib_module_names
    spec = None if taken else importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
        return importlib.import_module(name)
    return _under_other_name(path)


def _under_other_name(path: Path) -> ModuleType:
    """Load it although its name is another module's: under a name of its own, which only this process knows."""
    import cloudpickle  # only such files need it here

    name = "swept_" + "".join(letter if letter.isalnum() else "_" for letter in path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "any .py file has a spec"
    assert spec.loader is not None, "and a loader"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


def _travel_by_value(root: Path) -> None:
    import cloudpickle  # only sweeps on another machine need it here

    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve().is_relative_to(root) and "site-packages" not in Path(file).parts:
            cloudpickle.register_pickle_by_value(module)


def _where(error: BaseException, path: Path) -> str:
    """Return the last line of the file itself that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path]
    return f"line {lines[-1]}: " if lines else ""


def _is_own(value: Any, module: ModuleType) -> bool:
    """Return whether a module defines something that can be called, and has not imported it."""
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _function(module: ModuleType, file: str, name: str) -> Callable[..., Any]:
    if not hasattr(module, name):
        known = [n for n, value in vars(module).items() if _is_own(value, module) and not n.startswith("_")]
        raise InvalidRequest(f"{file} has no function {name!r}{_hint(name, known)}")
    function = getattr(module, name)
    if not callable(function):
        raise InvalidRequest(f"{name} in {file} is not callable: it is of type {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidRequest(
            f"{name} in {file} is async or a generator; sweep needs a function that returns its result"
        )
    return function  # type: ignore[no-any-return]  # callable() narrows Any to Any


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(known[:8])}" if known else ""
