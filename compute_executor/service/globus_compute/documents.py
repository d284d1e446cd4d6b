"""The documents that stock endpoints are given: where they find their queues, and the command to start one.

Observed of globus-compute-endpoint 4.19. Values in, values out.
"""

from __future__ import annotations

import uuid
from typing import Any

from compute_executor.service.globus_compute import names


def registration(endpoint: uuid.UUID, url: str) -> dict[str, Any]:
    """Return the answer to a registration. ``url``: of the broker, with this endpoint's credentials."""
    return {
        "endpoint_id": str(endpoint),
        "command_queue_info": {"connection_url": url, "queue": names.command_queue(endpoint)},
        "heartbeat_queue_info": _publishing(endpoint, names.HEARTBEATS, url),
    }


def start_command(  # noqa: PLR0917 - the fields of the command
    endpoint: uuid.UUID,
    user_endpoint: uuid.UUID,
    url: str,
    who: tuple[str, str],
    config: dict[str, Any],
    runtime: dict[str, Any],
) -> dict[str, Any]:
    """Return the command to start a user endpoint. ``url``: with the user endpoint's credentials; ``who``: subject
    and name of the user that it is for."""
    subject, name = who
    credentials = {
        "endpoint_id": str(user_endpoint),
        "task_queue_info": {
            "connection_url": url,
            "exchange": names.TASKS,
            "queue": names.task_queue(user_endpoint),
        },
        "result_queue_info": _publishing(user_endpoint, names.RESULTS, url),
        "heartbeat_queue_info": _publishing(user_endpoint, names.HEARTBEATS, url),
    }
    return {
        "command": "cmd_start_endpoint",
        "args": [],
        "globus_username": name,
        "globus_effective_identity": subject,
        "globus_identity_set": [_identity(subject, name)],
        "kwargs": {
            "name": names.child_name(endpoint, user_endpoint),
            "user_opts": config,
            "user_runtime": runtime,
            "amqp_creds": credentials,
        },
    }


def _identity(subject: str, name: str) -> dict[str, Any]:
    """``sub`` is what an endpoint compares with its owner's. One run by root finds the local account with
    globus-identity-mapping, which reads ``id`` and ``username`` and skips an identity whose ``status`` is not used
    or private."""
    return {"sub": subject, "id": subject, "username": name, "name": name, "status": "used"}


def _publishing(endpoint: uuid.UUID, exchange: str, url: str) -> dict[str, Any]:
    """``queue_publish_kwargs`` goes verbatim into pika's ``basic_publish``."""
    return {
        "connection_url": url,
        "exchange": exchange,
        "queue": exchange,
        "queue_publish_kwargs": {
            "exchange": exchange,
            "routing_key": names.routing_key(endpoint, exchange),
            "mandatory": True,
            "properties": {"delivery_mode": 2},
        },
    }


def runtime_of(given: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a start command says of the submitting Python, if the submit said nothing: templates may look at
    it."""
    return given or {
        "globus_compute_sdk_version": "4.19.0",
        "globus_sdk_version": "4.9.1",
        "python_version": "3.11.0",
        "python": {"version": "3.11.0", "version_tuple": [3, 11, 0]},
    }
