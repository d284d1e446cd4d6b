"""Whether a pool can be what its specification says. Pure.

What the operating system cannot pass to a process at all (a NUL, a variable with ``=`` in its name) is refused when
it comes: started later, it would be an error in the middle of the service.
"""

from __future__ import annotations

from collections.abc import Iterator

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import PoolSpec
from compute_executor.protocol.resources import MOST

LONGEST = 128 * 1024
"""Bytes of one argument or variable that Linux passes to a process (MAX_ARG_STRLEN, execve(2))."""


def check(spec: PoolSpec) -> None:
    """Raise InvalidRequest that names the field at fault."""
    for name, text in _texts(spec):
        if "\0" in text:
            raise InvalidRequest(
                f"{name} of a pool holds a NUL, which no process can be given: {text[:100]!r}"
            )
        if len(text) >= LONGEST:
            raise InvalidRequest(f"{name} of a pool is {len(text):,} characters, the limit is {LONGEST:,}")
    for name in [*spec.environ, *(name for one in spec.devices for name in one.variables)]:
        if not name or "=" in name:
            raise InvalidRequest(f"an environment variable of a pool cannot be called {name[:100]!r}")
    if not 0 <= spec.threads <= MOST:
        raise InvalidRequest(f"a worker of a pool has 0 to {MOST} threads, not {spec.threads}")
    if len({len(one.names) for one in spec.devices}) > 1:
        raise InvalidRequest("the workers of a pool have different numbers of devices")


def _texts(spec: PoolSpec) -> Iterator[tuple[str, str]]:
    yield "python", spec.python
    yield "cwd", spec.cwd
    yield "label", spec.label
    yield "python_version", spec.python_version
    yield from (("path", entry) for entry in spec.path)
    yield from (("interpreter", option) for option in spec.interpreter)
    for variables in (spec.environ, *(one.variables for one in spec.devices)):
        yield from (("environ", f"{name}={value}") for name, value in variables.items())
