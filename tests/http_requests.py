"""Requests to the service of a Client that the Client has no method for."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.error import URLError

import msgspec

from compute_executor import Client


def post(client: Client, path: str, document: Any = None) -> Any:
    """The answer to a POST with this JSON document, with the Client's own login."""
    request = urllib.request.Request(
        client.address() + path,
        data=msgspec.json.encode(document),
        headers={"authorization": client.authorization() or "", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return msgspec.json.decode(answer.read())


def shut_down(client: Client) -> None:
    """End the service. What is open stays stored. One that ends by itself just now takes no request any more."""
    client.version_check()  # finds the one that runs now: the one before may have been killed
    try:
        post(client, "/v3/shutdown")
    except URLError as error:
        if not isinstance(error.reason, ConnectionError):
            raise
