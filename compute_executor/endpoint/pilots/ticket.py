"""What a pilot needs to find its endpoint and to be let in: in a file that only the user can read."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

SECRET_BYTES = 32

FILE = "ticket.json"
"""Its file in the folder of an endpoint, beside that of the bodies."""


class Ticket(NamedTuple):
    """``addresses``: host and port, in the order in which they are tried; ``secret``: of this start of the endpoint,
    in hexadecimal digits."""

    addresses: list[tuple[str, int]]
    secret: str

    def __repr__(self) -> str:
        return f"Ticket(addresses={self.addresses!r}, secret=...)"

    @property
    def key(self) -> bytes:
        """The secret as bytes."""
        return bytes.fromhex(self.secret)


def new_ticket(addresses: list[tuple[str, int]]) -> Ticket:
    """Return a ticket with a secret of its own."""
    return Ticket(addresses, secrets.token_hex(SECRET_BYTES))


def write(path: Path, ticket: Ticket) -> None:
    """Keep it in a file that is whole whenever it is read."""
    temporary = path.with_name(path.name + ".part")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(ticket._asdict(), file)
    temporary.replace(path)


def loads(text: str) -> Ticket:
    """Return the ticket that this text is. Raises ValueError."""
    found = json.loads(text)
    try:
        addresses = [(str(host), int(port)) for host, port in found["addresses"]]
        return Ticket(addresses, str(found["secret"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no ticket of an endpoint: {error}") from None


def dumps(ticket: Ticket) -> str:
    """Return the ticket as text."""
    return json.dumps(ticket._asdict())
