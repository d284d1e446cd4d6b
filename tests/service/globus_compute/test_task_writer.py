"""Tasks as messages to stock endpoints."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.call_options import with_options
from compute_executor.protocol.frames import Options
from compute_executor.serialization import native
from compute_executor.service.globus_compute.task_writer import TaskWriter

CODE = native.dumps(len)


def test_nodes_and_ranks_travel_as_a_specification() -> None:
    batch = SimpleNamespace(prefix=bytes(12), options=with_options(Options(), nodes=2, ranks=8))
    dispatch: Any = SimpleNamespace(by_number=lambda number: batch)
    functions: Any = SimpleNamespace(id=lambda number: bytes(16), code=lambda number: CODE)
    blobs: Any = SimpleNamespace(read=lambda body: body)
    writer = TaskWriter(dispatch, functions, blobs)
    _, headers = writer.message(Assignment(1, 0, 1, 1, native.dumps_call(("ab",), {})))
    wanted = {"num_nodes": 2, "num_ranks": 8, "ranks_per_node": 4}
    assert json.loads(headers["resource_specification"]) == wanted
