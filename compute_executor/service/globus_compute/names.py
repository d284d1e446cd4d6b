"""What exchanges, queues, keys and ids are called. Stock peers take every name from our documents."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

TASKS, RESULTS, HEARTBEATS = "tasks", "results", "heartbeats"
"""The exchanges; results and heartbeats also have one queue each, of the same name."""

_OURS = uuid.UUID("c0de0000-0000-8000-8000-00000000a3e9")
"""Namespace of the ids that are made of others."""


def task_queue(user_endpoint: uuid.UUID) -> str:
    """Return where the tasks of a user endpoint wait, and their routing key."""
    return f"{user_endpoint}.{TASKS}"


def log_queue(user_endpoint: uuid.UUID) -> str:
    """Return which tasks came to the broker last: the same messages once more, see `engine`."""
    return f"{user_endpoint}.log"


def command_queue(endpoint: uuid.UUID) -> str:
    """Return where an endpoint looks for commands."""
    return f"{endpoint}.commands"


def routing_key(endpoint: uuid.UUID, exchange: str) -> str:
    """With which an endpoint, or a user endpoint, publishes."""
    return f"{endpoint}.{exchange}"


def bindings(exchange: str) -> str:
    """Return the keys that the one queue of a topic exchange is bound to."""
    return f"*.{exchange}"


def child_name(endpoint: uuid.UUID, user_endpoint: uuid.UUID) -> str:
    """Return what an endpoint is to call the user endpoint."""
    return f"uep.{endpoint}.{user_endpoint}"


def user_endpoint_id(endpoint: uuid.UUID, owner: str, config: dict[str, Any] | None) -> uuid.UUID:
    """Return one for each endpoint, user and configuration, always the same."""
    text = json.dumps(config or {}, sort_keys=True)
    return uuid.uuid5(_OURS, f"{endpoint}\n{owner}\n{text}")


def result_queue(owner: str, group: bytes) -> str:
    """Return where the results of a user's task group wait for an SDK."""
    return f"{result_prefix(owner)}{uuid.UUID(bytes=group)}"


def result_prefix(owner: str) -> str:
    """Return what the result queues of a user begin with; the id of the task group follows."""
    return f"results.{hashlib.sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}."
