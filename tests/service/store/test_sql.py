"""The SQL of the store: each query has a name of its own."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from compute_executor.service.store import sql


@pytest.mark.parametrize("file", ["queries.sql", "schema.sql"])
def test_no_name_is_used_twice(file: str) -> None:
    """The later one would silently be run for both."""
    names = re.findall(
        r"^-- name: (\S+)$", resources.files(sql).joinpath(file).read_text("utf-8"), re.MULTILINE
    )
    assert names
    assert sorted(names) == sorted(set(names))
