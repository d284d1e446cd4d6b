"""The part of a list that is asked for: ``?limit=100&offset=200``. One's own things come first in lists."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request

from compute_executor.errors import InvalidRequest

MOST = 1000
"""Entries in one part, about 1 kB each."""


class ListPart(NamedTuple):
    """So many entries, after the first ``offset``."""

    limit: int
    offset: int


def page_of(request: Request) -> ListPart:
    """Return the part that a request asks for. Raises InvalidRequest."""
    limit, offset = (_number(request, name, standard) for name, standard in (("limit", MOST), ("offset", 0)))
    if not 1 <= limit <= MOST:
        raise InvalidRequest(f"limit is 1 to {MOST}, not {limit}")
    return ListPart(limit, offset)


def _number(request: Request, name: str, standard: int) -> int:
    text = request.query_params.get(name, str(standard))
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidRequest(f"{name} is a whole number, not {text[:50]!r}")
    return int(text)
