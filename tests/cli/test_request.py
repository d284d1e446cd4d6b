from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compute_executor.cli.request import SweepRequest
from compute_executor.cli.wrong_input import WrongInput

UUID = "4b116d3c-1703-4f8f-9f6f-39921e5864df"


def request(**given: Any) -> SweepRequest:
    nothing: dict[str, Any] = dict.fromkeys(SweepRequest.__dataclass_fields__)
    return SweepRequest(
        **{**nothing, "function": "model.py:f", "grids": (), "out": Path("results.csv"), **given}
    )


def test_options_that_go_together() -> None:
    request(minimize="a").check()
    request(max_workers=3).check()
    request(endpoint=UUID).check()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"minimize": "a", "maximize": "b"}, "exclude each other"),
        ({"endpoint": UUID, "max_workers": 2}, "is for this machine"),
        ({"endpoint": "there"}, "--endpoint there is not a UUID"),
    ],
)
def test_options_that_do_not(given: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongInput, match=says):
        request(**given).check()


def test_which_row_is_sought() -> None:
    assert request().best() is None
    assert request(minimize="a").best() == ("a", False)
    assert request(maximize="a").best() == ("a", True)
