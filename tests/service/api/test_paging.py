"""Which part of a list is asked for, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from starlette.requests import Request

from compute_executor.errors import InvalidRequest
from compute_executor.service.api.paging import MOST, ListPart, page_of


def asked(query: str) -> ListPart:
    return page_of(Request({"type": "http", "query_string": query.encode(), "headers": []}))


def test_without_words_it_is_the_first_and_largest_part() -> None:
    assert asked("") == ListPart(MOST, 0)
    assert asked("limit=7&offset=21") == ListPart(7, 21)


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["", "-1", "1.5", "x", "٣", "9" * 16])
def test_what_is_no_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is a whole number"):
        asked(f"{name}={quote(value)}")


@pytest.mark.parametrize("limit", [0, MOST + 1])
def test_a_part_is_bounded(limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"1 to {MOST}"):
        asked(f"limit={limit}")
