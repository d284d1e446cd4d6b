"""``--where``: a condition on the parameters, in the words of Python, of which only comparisons, arithmetic and a few
functions are known. The text is never given to ``eval``."""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compute_executor.errors import InvalidRequest

MOST_BITS = 4096
"""Size of a whole number that a power may have: ``9**9**9`` would take the machine's memory."""


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MOST_BITS:
        raise InvalidRequest("a power in the condition is too large")
    return base**exponent


def _times(one: Any, other: Any) -> Any:
    if not all(isinstance(value, (int, float)) for value in (one, other)):
        raise TypeError("only numbers are multiplied")
    return one * other


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: lambda one, other: _times(one, 1) % other,  # not the formatting of text
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": round,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
}
_KNOWN = f"comparisons, and, or, not, in, + - * / // % **, and {', '.join(_FUNCTIONS)}"

_Evaluate = Callable[[Mapping[str, Any]], Any]


class Condition:
    """``a < b and mode in ('x', 'y')``. Raises InvalidRequest for what is no such expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        try:
            self._evaluate = self._compiled(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, InvalidRequest):
                raise InvalidRequest(f"--where {text}: {error.message}") from None
            raise InvalidRequest(f"--where {text} is no expression: {error}") from None

    def check(self, names: Sequence[str]) -> None:
        """Raise InvalidRequest unless all names in it are among ``names``."""
        for name in sorted(self.names.difference(names)):
            close = difflib.get_close_matches(name, list(names), 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there is {', '.join(names)}"
            raise InvalidRequest(f"--where {self.text}: {name!r} is no parameter of this sweep{hint}")

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether it is true of a row. Raises InvalidRequest if it cannot be told."""
        try:
            return bool(self._evaluate(row))
        except KeyError as error:
            raise InvalidRequest(
                f"--where {self.text}: {error.args[0]!r} has no value in a row (its cell is empty)"
            ) from None
        except InvalidRequest as error:
            raise InvalidRequest(f"--where {self.text}: {error.message}") from None
        except Exception as error:  # of values that do not compare, a division by zero ...
            values = ", ".join(f"{name} = {row.get(name)!r}" for name in sorted(self.names))
            raise InvalidRequest(f"--where {self.text}: {error} (at {values})") from None

    def _compiled(self, node: ast.AST) -> _Evaluate:
        make = getattr(self, f"_{type(node).__name__.lower()}", None)
        if make is None:
            raise InvalidRequest(f"only {_KNOWN} are known")
        made: _Evaluate = make(node)
        return made

    def _constant(self, node: ast.Constant) -> _Evaluate:
        value = node.value
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise InvalidRequest(f"only {_KNOWN} are known")
        return lambda _: value

    def _name(self, node: ast.Name) -> _Evaluate:
        name = node.id
        if name in ("true", "false", "null"):
            return lambda _: {"true": True, "false": False, "null": None}[name]
        self.names.add(name)
        return lambda row: row[name]

    def _many(self, node: Any) -> _Evaluate:
        parts = [self._compiled(part) for part in node.elts]
        return lambda row: [part(row) for part in parts]

    _tuple = _list = _set = _many

    def _unaryop(self, node: ast.UnaryOp) -> _Evaluate:
        act, inner = self._operator(node.op), self._compiled(node.operand)
        return lambda row: act(inner(row))

    def _binop(self, node: ast.BinOp) -> _Evaluate:
        act, left, right = self._operator(node.op), self._compiled(node.left), self._compiled(node.right)
        return lambda row: act(left(row), right(row))

    def _boolop(self, node: ast.BoolOp) -> _Evaluate:
        parts = [self._compiled(value) for value in node.values]
        decide = all if isinstance(node.op, ast.And) else any
        return lambda row: decide(part(row) for part in parts)

    def _compare(self, node: ast.Compare) -> _Evaluate:
        first = self._compiled(node.left)
        steps = [
            (self._operator(op), self._compiled(right))
            for op, right in zip(node.ops, node.comparators, strict=True)
        ]

        def evaluate(row: Mapping[str, Any]) -> bool:
            left = first(row)
            for act, right in steps:
                value = right(row)
                if not act(left, value):
                    return False
                left = value
            return True

        return evaluate

    def _ifexp(self, node: ast.IfExp) -> _Evaluate:
        test, then, other = (self._compiled(part) for part in (node.test, node.body, node.orelse))
        return lambda row: then(row) if test(row) else other(row)

    def _call(self, node: ast.Call) -> _Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS or node.keywords:
            raise InvalidRequest(f"only {_KNOWN} are known")
        function, parts = _FUNCTIONS[name], [self._compiled(part) for part in node.args]
        return lambda row: function(*(part(row) for part in parts))

    def _operator(self, node: ast.AST) -> Callable[..., Any]:
        if type(node) not in _OPERATORS:
            raise InvalidRequest(f"only {_KNOWN} are known")
        return _OPERATORS[type(node)]
