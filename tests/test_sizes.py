"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.sizes import bytes_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1kB", 1000),
        ("1KiB", 1024),
        ("512MB", 512 * 10**6),
        ("512mb", 512 * 10**6),
        (" 2 GiB ", 2 << 30),
        ("1.5TB", 15 * 10**11),
        ("1.5G", 3 << 29),
        ("1PiB", 1 << 50),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@given(st.integers(1, 10_000), st.sampled_from(["k", "M", "G", "T"]), st.sampled_from(["B", "iB", ""]))
def test_a_larger_unit_is_a_larger_size(number: int, unit: str, suffix: str) -> None:
    power = "kMGT".index(unit) + 1
    assert bytes_of(f"{number}{unit}{suffix}") == number * (1000 if suffix == "B" else 1024) ** power


@pytest.mark.parametrize("text", ["", "8", "GB", "-1GB", "8 EB", "8GBs", "1e3MB", "8Gi", "٨GB "[1:]])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size such as"):
        bytes_of(text)
