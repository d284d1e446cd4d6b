"""A program in which each marked line is an error for every type checker."""

from __future__ import annotations

from compute_executor import Executor


def scale(value: float, factor: float = 1.0, *, label: str = "") -> str:
    return f"{label}{value * factor}"


def twice(number: int) -> int:
    return 2 * number


with Executor(max_workers=2) as ex:
    ex.submit(scale)  # error: an argument is missing
    ex.submit(scale, "two")  # error: of another type
    ex.submit(scale, 2.0, 3.0, 4.0)  # error: one too many
    ex.submit(scale, 2.0, labl="x")  # error: a keyword that it has not
    number: int = ex.submit(scale, 2.0).result()  # error: it is a text
    ex.map(twice, ["a"])  # error: elements of another type
    ex.map(twice, [1], [2])  # error: one iterable too many
    ex.map(pow, [1], [2], chunksise=2)  # error: no such option
    ex.options(retry=2)  # error: no such option
    ex.label = 5  # error: it is fixed
    Executor(max_worker=2)  # error: no such keyword
    Executor(output="loud")  # error: neither "program" nor "log"
