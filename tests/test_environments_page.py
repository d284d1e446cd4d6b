"""docs/environments.md: its code blocks run, in order, in one interpreter, on the embedded service."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import PoolBroken, TaskPending
from tests.http_requests import shut_down
from tests.sdk.conftest import CREDENTIALS

PAGE = Path(__file__).parent.parent / "docs" / "environments.md"
PATIENCE = 100.0


def ended(client: Any, task_id: str) -> Any:
    """The result of a task, waited for."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return client.get_result(task_id)
        except TaskPending:
            time.sleep(0.05)
    raise AssertionError(f"task {task_id} did not end in {PATIENCE:g} s")


@pytest.mark.slow
def test_the_blocks_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "30")
    blocks = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("1.15.0\n")
    assert "Successfully installed six-1.15.0" in printed
    assert "No matching distribution found for there-is-no-such-package==1" in printed
    with names["client"] as client:
        assert ended(client, names["task_id"]) == "1.15.0"
        assert client.get_container_build_status(names["old"]) == "ready"
        assert client.get_container_build_status(names["bad"]) == "failed"
        endpoint = client.get_endpoints()[0]["uuid"]
        loud = client.run("quiet", endpoint_id=endpoint, function_id=names["shout"])
        assert ended(client, loud) == "QUIET"
        stays = client.register_function(names["version"], container_uuid=names["bad"])
        with pytest.raises(PoolBroken, match="No matching distribution"):
            ended(client, client.run(endpoint_id=endpoint, function_id=stays))
        shut_down(client)
