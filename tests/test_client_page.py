"""docs/client.md: its code blocks run, in order, in one interpreter, on the embedded service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.http_requests import shut_down
from tests.sdk.conftest import CREDENTIALS

PAGE = Path(__file__).parent.parent / "docs" / "client.md"


def test_the_blocks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "30")
    blocks = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    with names["client"] as client:
        shut_down(client)
