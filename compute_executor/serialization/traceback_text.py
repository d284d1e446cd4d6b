"""The text of a traceback: which exception it is of. Standard library only, no I/O."""

from __future__ import annotations

import re

_CHAINED = frozenset(
    {
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    }
)
"""What the interpreter writes between the tracebacks of a chain, the last of which is that of what was raised."""

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(\.<locals>\.[^\W\d]\w*)*")


def raised_by(text: str) -> tuple[str, str] | None:
    """Return name and message of the exception whose traceback this is, both as they are written there, also a
    message of many lines; None for any other text.

    >>> raised_by("Traceback (most recent call last):\\n  File ...\\nValueError: odd:\\n  5\\n")
    ('ValueError', 'odd:\\n  5')
    """
    lines = _of_group(_last_of_chain(_without_indent(text.strip("\n").split("\n"))))
    if not lines[0].startswith("Traceback"):
        return None
    first = 1
    while first < len(lines) and lines[first].startswith("  "):  # where it was raised
        first += 1
    if first == len(lines):
        return None
    name, _, begin = lines[first].partition(": ")
    if not _NAME.fullmatch(name):
        return None
    return name, "\n".join([begin, *lines[first + 1 :]])


def summary(text: str) -> str:
    """Return what a text says of a failure: name and message, if it is a traceback, else its last line.

    >>> summary("Traceback (most recent call last):\\n  File ...\\nValueError: 5\\n"), summary("no such\\nplace\\n")
    ('ValueError: 5', 'place')
    """
    found = raised_by(text)
    if found is None:
        return text.strip().rpartition("\n")[2]
    name, message = found
    return f"{name}: {message}" if message else name


def _without_indent(lines: list[str]) -> list[str]:
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return [line.removeprefix(indent) for line in lines]


def _last_of_chain(lines: list[str]) -> list[str]:
    last = max((number for number, line in enumerate(lines) if line in _CHAINED), default=None)
    following = [] if last is None else lines[last + 1 :]
    while following and not following[0]:
        del following[0]
    return following or lines


def _of_group(lines: list[str]) -> list[str]:
    """Return the traceback of an exception group without its frame and its members; another as it is."""
    if not lines[0].lstrip().startswith("+ Exception Group Traceback"):
        return lines
    own = ["Traceback"]
    for line in _without_indent(lines)[1:]:
        if not line.startswith("|"):
            break
        own.append(line[2:])
    return own
