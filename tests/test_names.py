"""A name that stands twice has two meanings: class names are unique in the package, errors have one home."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

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
