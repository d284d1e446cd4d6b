"""Specifications that no process can be started with are refused when they come, and name the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import WorkerDevices
from compute_executor.service.pools.specification import LONGEST, check
from tests.service.fixture import SPEC

BAD: list[tuple[str, dict[str, Any]]] = [
    ("cwd", {"cwd": "a\0b"}),
    ("python", {"python": "\0"}),
    ("label", {"label": "x\0"}),
    ("path", {"path": ["/ok", "/a\0b"]}),
    ("interpreter", {"interpreter": ["-X", "\0"]}),
    ("environ", {"environ": {"A": "b\0c"}}),
    ("environ", {"environ": {"A\0": "b"}}),
    ("environ", {"environ": {"A": "x" * LONGEST}}),
    ("variable", {"environ": {"A=B": "c"}}),
    ("variable", {"environ": {"": "c"}}),
    ("cwd", {"cwd": "x" * LONGEST}),
    ("environ", {"devices": [WorkerDevices(["0"], {"A": "b\0c"})]}),
    ("variable", {"devices": [WorkerDevices(["0"], {"A=B": "c"})]}),
    ("different numbers of devices", {"devices": [WorkerDevices(["0"], {}), WorkerDevices(["1", "2"], {})]}),
    ("threads", {"threads": -1}),
]


@pytest.mark.parametrize(("field", "changed"), BAD)
def test_it_is_refused_with_its_field(field: str, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=field):
        check(msgspec.structs.replace(SPEC, **changed))


def test_odd_but_possible_ones_pass() -> None:
    check(msgspec.structs.replace(SPEC, environ={"A": "b=c", "Ä": "\n"}, cwd="", path=[""], label="x" * 300))
