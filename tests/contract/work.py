"""What the tests give to their executors: small functions that any process can import, and a gate to hold them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds after which a test that waits for something has failed."""


class Gate:
    """Tasks wait at it until it is opened. It works across processes because it is a folder with files in it.

    Waiting looks at the files every few milliseconds; nothing depends on how long that takes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def hold(self, name: str = "task") -> str:
        """The task: says that it has begun, and returns its name once the gate is open."""
        (self.folder / f"{name}.begun").touch()
        wait_until((self.folder / "open").exists)
        return name

    def hold_all_but_the_first(self, number: int) -> int:
        """A task for ``map``, whose first result is there at once."""
        return int(self.hold(str(number))) if number else 0

    def open(self) -> None:
        (self.folder / "open").touch()

    def has_begun(self, name: str = "task") -> bool:
        return (self.folder / f"{name}.begun").exists()

    def wait_for(self, name: str = "task") -> None:
        """Until the task of that name has begun."""
        wait_until(lambda: self.has_begun(name))


def wait_until(holds: Any) -> None:
    """Return when ``holds()`` is true; fail if that takes longer than anything here may take."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain")
        time.sleep(0.005)


def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What it was called with."""
    return args, kwargs


def square(x: int) -> int:
    return x * x


def fail(kind: type[BaseException], *args: Any) -> None:
    raise kind(*args)


class Scaled:
    """A bound method's object, and a callable one."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def of(self, x: int) -> int:
        return self.factor * x

    def __call__(self, x: int) -> int:
        return self.factor * x


class Misfit(Exception):
    """An exception whose ``__init__`` does not take its ``args``: the kind that breaks a pool of processes."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"misfit {code}")
        self.code = code
        self.hint = hint


def misfit() -> None:
    raise Misfit(7, hint="turn it round")


def chained() -> None:
    try:
        {}["missing"]  # type: ignore[index]
    except KeyError as error:
        raise RuntimeError("outer") from error
