"""References to values that were put at a service once: `Ref` stands for the value in the arguments of any call.

A stream that holds a ref calls :func:`load` in its place, in the worker. Standard library only: workers use this.
"""

from __future__ import annotations

import re
from typing import Any

from compute_executor.errors import InvalidRequest, SerializationError
from compute_executor.serialization import buffers, reading
from compute_executor.serialization.large import Part

_ID = re.compile(r"([0-9a-f]{32})-([0-9]{1,19})")


class Ref:
    """A value at a service, made by `Executor.put`; where a call is given it, also inside of lists, dicts and
    objects, its function gets the value: a new one for each task, as of any argument.

    The service keeps the value while this object lives and its Executor is open, and as long as tasks need it.
    """

    __slots__ = ("_part", "id")

    def __init__(self, part: Part) -> None:
        self._part: Part | None = part
        self.id: str = f"{part.name}-{part.size}"
        """What another program passes to `Executor.ref`."""

    @property
    def size(self) -> int:
        """Bytes of the value as it is stored."""
        return int(self.id.partition("-")[2])

    def release(self) -> None:
        """Let the service delete the value when no task needs it any more. Later calls cannot be given this."""
        self._part = None

    def part(self) -> Part:
        """Return what has to be kept. Raises InvalidRequest if it was released."""
        if self._part is None:
            raise InvalidRequest(f"the ref {self.id} was released: put the value again")
        return self._part

    def __reduce__(self) -> Any:
        """Refuse to travel in any other way than to a worker of its service."""
        raise SerializationError(
            f"a ref of {self.size:,} bytes can only be passed to calls of an Executor on its own service and the "
            "endpoints of that: for Globus Compute, which takes 10,000,000 bytes at most, pass the value, or the "
            "name of a file that is there; to another program, the text ref.id for Executor.ref"
        )

    def __repr__(self) -> str:
        return f"<Ref {self.id}{'' if self._part else ', released'}>"


def part_of(ref_id: str) -> Part:
    """Return the part that an id names. Raises InvalidRequest for what is no id of a ref."""
    found = _ID.fullmatch(ref_id)
    if found is None:
        raise InvalidRequest(f"{ref_id[:100]!r} is no id of a ref: pass what `ref.id` is")
    return Part(found[1], int(found[2]))


def load(name: str, size: int) -> Any:
    """Return the value of a ref, in a worker."""
    return reading.load(buffers.part(name, size))
