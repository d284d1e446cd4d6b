"""A name that stands twice has two meanings: class names are unique in the package, errors have one home."""

from __future__ import annotations

import ast
import keyword
import re
from collections import defaultdict
from pathlib import Path
from types import CodeType

import compute_executor
from compute_executor import errors

PACKAGE = Path(compute_executor.__file__).parent
TWICE = {
    "EachOf": "functions.remote and serialization.stock are two implementations of one Protocol, found by this name",
    "Stream": "the same",
}


def classes() -> dict[str, list[str]]:
    """The modules that define a class of each name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    return found


def test_no_two_modules_share_a_class_name() -> None:
    shared = {name: places for name, places in classes().items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in TWICE} == {}
    assert set(TWICE) <= set(shared), "a reason without a case"


def test_every_error_of_ours_is_in_one_file() -> None:
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    elsewhere = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = {ast.unparse(base).rpartition(".")[2] for base in getattr(node, "bases", [])}
            if isinstance(node, ast.ClassDef) and bases & ours and path.name != "errors.py":
                elsewhere.append((str(path.relative_to(PACKAGE)), node.name))
    assert elsewhere == [
        ("service/access.py", "_Absent")
    ]  # a NotFound that knows what was forbidden; travels as NotFound


def test_every_error_has_a_code_of_its_own() -> None:
    codes: dict[int, list[str]] = defaultdict(list)
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.ComputeError) and "code" in vars(kind):
            codes[kind.code].append(name)
        elif isinstance(kind, type) and issubclass(kind, errors.ComputeError):
            codes[-1].append(name)
    assert {code: names for code, names in codes.items() if len(names) > 1 or code < 0} == {}


def named(code: CodeType) -> set[str]:
    """The names that compiled code has in it: variables, attributes, arguments, functions, classes and fields."""
    found = {code.co_name, *code.co_names, *code.co_varnames, *code.co_cellvars}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= named(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            found.add(constant)
    return found


def test_what_docstrings_and_comments_refer_to_exists() -> None:
    """In single backticks: names of this package, with their rooms. What is somebody else's is not looked at."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    rooms = {path.stem for path in PACKAGE.rglob("*") if path.suffix == ".py" or path.is_dir()}
    known = rooms.union(
        *(named(compile(text, path, "exec", dont_inherit=True)) for path, text in texts.items())
    )
    stale = []
    for path, text in texts.items():
        for reference in re.findall(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)", text):
            parts = reference.split(".")
            ours = len(parts) == 1 or parts[0] in rooms or parts[0][0].isupper()
            if ours and not known.issuperset(parts) and not keyword.iskeyword(reference):
                stale.append((str(path.relative_to(PACKAGE)), reference))
    assert stale == []


NO_VERBS = {
    *("the", "a", "an", "all", "its", "these", "this", "those"),
    *("what", "whether", "how", "which", "why", "who", "whose"),
}


def _docstrings_without_a_verb() -> list[str]:
    """Return the functions and methods, but for properties and commands, whose docstring begins with another word."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
            text = ast.get_docstring(node)
            if text is None or any(
                one in decorators
                for one in ("property", "setter", "click", "command", "group", "contextmanager")
            ):
                continue
            if text.split()[0].lower() in NO_VERBS:
                found.append(f"{path.relative_to(PACKAGE)}: {node.name}: {text[:60]}")
    return found


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert _docstrings_without_a_verb() == []
