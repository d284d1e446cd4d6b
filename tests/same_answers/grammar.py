"""A grammar of small programs: definitions that use the ones before them, then calls, and edits between the calls.

A *piece* is a template of source. What it defines last is callable with one argument of any kind, so that every piece
can call every other one, decorate it, keep it in a closure or hang it on a class. In a template stand

    $g $h          callables of earlier pieces            $k $m       constants
    $e             an expression of `x`, of any depth     $body       statements that return one, on a line of its own
    $anything      a name that no other piece has
"""

from __future__ import annotations

import itertools
import re
import string
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

MARK = "_0_"
"""The end of each global name; whoever runs the program puts its number there, so that no two share a name."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
T = TypeVar("T")


class Piece(NamedTuple):
    """A template. ``calls``: the callables that others may use. ``values``: expressions that make arguments for
    them. ``edits``: what the program changes later. ``starts``: callables that are only submitted, as they have a
    state, which an argument has a copy of."""

    text: str
    calls: tuple[str, ...] = ("$f",)
    values: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    since: tuple[int, int] = (3, 10)
    starts: tuple[str, ...] = ()


class Call(NamedTuple):
    """A step of a program: an expression for a callable, and one for its argument."""

    function: str
    argument: str


class Edit(NamedTuple):
    """A step of a program: source that it executes, as the cell of a notebook."""

    source: str


class Program(NamedTuple):
    """What is executed, then the steps."""

    source: str
    steps: tuple[Call | Edit, ...]

    def numbered(self, number: int) -> Program:
        """The same with names of its own."""
        mark = f"_{number}_"
        steps = [type(step)(*(part.replace(MARK, mark) for part in step)) for step in self.steps]
        return Program(self.source.replace(MARK, mark), tuple(steps))

    def __str__(self) -> str:
        lines = [
            f"submit({step.function}, {step.argument})" if isinstance(step, Call) else step.source
            for step in self.steps
        ]
        return "\n".join([self.source, "# then", *lines])


@st.composite
def programs(draw: Draw, pieces: tuple[Piece, ...]) -> Program:
    """A program of a few of these pieces."""
    known = [piece for piece in pieces if piece.since <= sys.version_info[:2]]
    writer = _Writer(draw)
    for piece in draw(st.lists(st.sampled_from(known), min_size=1, max_size=5)):
        writer.write(piece)
    return Program("\n".join(writer.texts), tuple(writer.steps()))


CONSTANTS = (
    "0",
    "1",
    "-2",
    "3.5",
    "'a'",
    "'ä\\n'",
    "b'\\x00'",
    "None",
    "True",
    "(1, 'b')",
    "[1, [2]]",
    "{'k': {3}}",
)
HELPER = f"""\
import functools, sys
def same{MARK}(x):
    return x
"""
"""The first piece of every program."""


class _Writer:
    """Writes one program."""

    def __init__(self, draw: Draw) -> None:
        self.texts = [HELPER]
        self._draw = draw
        self._numbers = itertools.count()
        self._calls = [f"same{MARK}"]
        self._values: list[str] = []
        self._edits: list[str] = []
        self._starts: list[str] = []

    def write(self, piece: Piece) -> None:
        """Add a piece, and what it defines to what the next ones can use."""
        names = _Names(self)
        self.texts.append(self._filled(textwrap.dedent(piece.text), names))
        calls, values, edits, starts = (
            [self._filled(textwrap.dedent(text), names) for text in texts]
            for texts in (piece.calls, piece.values, piece.edits, piece.starts)
        )
        self._calls += calls
        self._values += values
        self._edits += edits
        self._starts += starts

    def steps(self) -> Iterator[Call | Edit]:
        """Calls of what is defined, the last of it most likely, and edits between them."""
        edits = list(self._edits)
        for _ in range(self._draw(st.integers(1, 6))):
            if edits and self._draw(st.booleans()):
                yield Edit(edits.pop(0))
            yield Call(self._one_of(self._starts) if self._is_one() else self.call(), self._value())

    def _is_one(self) -> bool:
        return bool(self._starts) and self._draw(st.booleans())

    def constant(self) -> str:
        """A constant."""
        return self._one_of(CONSTANTS)

    def expression(self, depth: int) -> str:
        """An expression of `x`."""
        form = self._one_of(_EXPRESSIONS if depth else _LEAVES)
        return re.sub(r"[EGK]", lambda match: self._part(match[0], depth - 1), form)

    def body(self, depth: int = 2) -> str:
        """Statements that return something."""
        lines = self._one_of(_BODIES if depth else _BODIES[:1])
        return self._filled(lines, _Names(self), depth - 1)

    def _part(self, kind: str, depth: int) -> str:
        return {"E": lambda: self.expression(depth), "G": self.call, "K": self.constant}[kind]()

    def call(self) -> str:
        """A callable that is defined already."""
        return str(self._calls[-1 - self._draw(st.integers(0, len(self._calls) - 1))])

    def _value(self) -> str:
        values = ["1", "0", "3", "'text'", "None", "[2, 1]", "{'k': 1}", *self._values, *self._calls]
        return self._one_of(values)

    def _one_of(self, options: Any) -> str:
        return str(self._draw(st.sampled_from(options)))

    def _filled(self, text: str, names: Mapping[str, str], depth: int = 2) -> str:
        """The text with its names, and bodies at the place where they stand."""

        def lines(match: re.Match[str]) -> str:
            return textwrap.indent(self.body(depth), match[1])

        text = string.Template(text).safe_substitute(names)
        return re.sub(r"^( *)\$body$", lines, text, flags=re.MULTILINE)

    def fresh(self, name: str) -> str:
        """A name that no piece has."""
        return f"{name}{next(self._numbers)}{MARK}"


class _Names(dict[str, str]):
    """What stands for the words of one piece."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def __missing__(self, word: str) -> str:
        if word == "body":
            raise KeyError(word)
        if word in ("g", "h"):
            found = self._writer.call()
        elif word in ("k", "m"):
            found = self._writer.constant()
        elif word == "e":
            return self._writer.expression(2)
        else:
            found = self._writer.fresh(word)
        self[word] = found
        return found


_LEAVES = ("x", "K", "('tag', x)", "type(x).__name__", "G(x)")
_EXPRESSIONS = (
    *_LEAVES,
    "(E, E)",
    "[E, E]",
    "{'k': E, 2: E}",
    "G(E)",
    "(E if isinstance(x, int) else E)",
    "(lambda y: (y, E))(E)",
    "[E for i in range(2)]",
    "{i: E for i in range(2)}",
    "(lambda *a, **k: (a, k))(E, *[E], z=E)",
    "(lambda y=E: y)()",
    "sorted([str(E), str(K)])",
    "functools.partial(G, E)()",
    "list(map(G, [E, K]))",
    "(lambda: G((y := E)) if x else K)()",
    "callable(G) and G.__class__.__name__",
    "sys.modules[__name__].__name__",
    "next(iter([E]))",
    "tuple(E for i in range(1))",
)
_BODIES = (
    "return $e",
    "y = $e\nreturn 'y', y, $e",
    "try:\n    return $e\nexcept Exception as error:\n    return type(error).__name__, list(map(str, error.args))",
    "try:\n    return 1 / x\nexcept TypeError as error:\n    raise ValueError($e) from error",
    "try:\n    return 1 / x\nfinally:\n    x = $e",
    "def inner(y):\n    return y, $e\nreturn inner($e)",
    "for x in [$e, $e]:\n    if x:\n        break\nelse:\n    return 'neither'\nreturn x",
    "if isinstance(x, int) and x > 0:\n    x -= 1\n    $body\nreturn $e",
    "import contextlib\nwith contextlib.suppress(TypeError, ValueError):\n    $body\nreturn 'suppressed'",
    "a, *b = [$e, $e, x]\nreturn b, a",
    "assert x, $e\nreturn $e",
    "raise KeyError($e)",
    "x = [x]\nx += [$e]\nreturn x",
    "def inner():\n    nonlocal x\n    x = 'n', $e\n    return x\nreturn inner(), x",
    "def inner():\n    yield $e\n    yield from [$e]\nreturn list(inner())",
    "class Local:\n    a = $e\n    def m(self):\n        return self.a, x, __class__.__name__\nreturn Local().m()",
    "match x:\n    case int():\n        return 'int', $e\n    case [a, *_] | {'k': a}:\n        return 'a', a\n"
    "    case _:\n        return $e",
)
