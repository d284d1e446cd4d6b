"""The file that tokens of Globus logins lie in: ``tokens.json`` in the state home, 0600, ours alone.

    {"<namespace>": {"<resource server>": {token document}, ...}, ...}

A namespace is one login: a person or a client, in one deployment. The file is read without following links,
refused if others can read it, and replaced whole. Standard library only: `Client` looks here to see whether
somebody is logged in before it decides to import globus_sdk.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from compute_executor.local import state
from compute_executor.local.locks import locked

FILE = "tokens.json"
LOCK = "tokens.lock"
LOCK_PATIENCE = 10.0
"""Seconds to wait for another process that is writing the file."""

Document = dict[str, Any]


def token_path() -> Path:
    """Return where the file is or would be."""
    return state.home() / FILE


def user_namespace(environment: str) -> str:
    """Return the namespace of the person logged in to a deployment."""
    return f"user/{environment}"


def client_namespace(environment: str, client_id: str) -> str:
    """Return the namespace of a client with credentials (the name is globus-compute-sdk's)."""
    return f"clientprofile/{environment}/{client_id}"


def load(namespace: str) -> dict[str, Document]:
    """Return the token documents of one login by resource server; empty if there is none.

    Raises NotAuthorized if the file is a link, foreign, or can be read by others.
    """
    return _read().get(namespace, {})


def store(namespace: str, tokens: dict[str, Document]) -> None:
    """Add or replace tokens of one login."""
    with _exclusive():
        everything = _read()
        everything.setdefault(namespace, {}).update(tokens)
        _write(everything)


def remove(namespace: str, resource_server: str) -> bool:
    """Forget one token. Whether there was one."""
    with _exclusive():
        everything = _read()
        found = everything.get(namespace, {}).pop(resource_server, None)
        if not everything.get(namespace):
            everything.pop(namespace, None)
        _write(everything)
    return found is not None


def _exclusive() -> Any:
    """Held while the file is read, changed and written, so that two processes do not lose each other's tokens."""
    import time

    folder = token_path().parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise state.trouble("make", folder, error) from error
    return locked(folder / LOCK, time.monotonic() + LOCK_PATIENCE)


def _read() -> dict[str, dict[str, Document]]:
    try:
        descriptor = state.open_private(token_path(), os.O_RDONLY)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor) as file:
        try:
            found = json.load(file)
        except ValueError:  # cut short by a full disk: as good as not logged in
            return {}
    return found if isinstance(found, dict) else {}


def _write(everything: dict[str, dict[str, Document]]) -> None:
    temporary = token_path().with_name(f"{FILE}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(everything, file)
        temporary.replace(token_path())
    except OSError as error:
        raise state.trouble("write", token_path(), error) from error
