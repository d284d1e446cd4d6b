"""Slots for pilots, and the interface of what makes them: a slot is named by the endpoint; which job of the engine it
is, its source knows."""

from __future__ import annotations

from typing import NamedTuple, Protocol

PENDING, RUNNING, ENDED = "pending", "running", "ended"


class EngineGone(Exception):
    """The engine is of no use any more and has to be started again, in a process of its own. The message says why."""


class SlotState(NamedTuple):
    """How a slot is. ``reason``: why it waits or has ended, in the engine's words."""

    state: str
    job: str
    reason: str = ""


class SlotOrder(NamedTuple):
    """What every slot is started with. ``ticket``: its file and its text; ``name``: of the jobs; ``folder``: for the
    scripts and output of jobs; ``work_folder``: where tasks run; ``gpus``, ``threads``: as in the settings of the
    endpoint."""

    ticket_file: str
    ticket: str
    name: str
    folder: str
    workers: int
    variables: dict[str, str]
    work_folder: str = ""
    gpus: str = ""
    threads: int = 0

    def pilot_options(self) -> list[str]:
        """Return what a pilot is told of its workers, besides its ticket and slot."""
        return [
            *("--workers", str(self.workers), "--folder", self.work_folder),
            *("--gpus", self.gpus, "--threads", str(self.threads)),
        ]


class SlotSource(Protocol):
    """Makes slots, looks after them, ends them. Every method may block, and raise whatever the engine raises, and
    EngineGone."""

    @property
    def workers(self) -> int:
        """How many workers a slot has."""
        ...

    @property
    def most(self) -> int:
        """How many slots there can be."""
        ...

    def start(self, slot: str) -> SlotState:
        """Ask for one more."""
        ...

    def look(self) -> dict[str, SlotState]:
        """Return all slots."""
        ...

    def end(self, slots: list[str]) -> None:
        """End these at once."""

    def adopt(self, slots: dict[str, SlotState]) -> None:
        """Note that these were started by an earlier process of this kind, and are to be looked after, or ended."""

    def close(self) -> None:
        """End everything."""
