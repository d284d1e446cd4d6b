"""What became of every task: read from the journals of the programs and the traces of the tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from integration.campaign.work import runs

NAMED = frozenset(
    {
        "WorkerLost(begun)",
        "PoolBroken(begun)",
        "PoolBroken(not begun)",
        "TaskTimeout",
        "Cancelled",
        "TaskCancelled",
        "ServiceUnavailable",
        "StorageFull",
        "StoreBusy",
        "SerializationError",
        "ResultDecodeError",
        "WorkerLost(not begun)",
        "ResultGone",
        "NoRoomToPrint",
    }
)
"""Ends with a name that says what happened to the task."""

MUST_BE_0 = (
    "lost",
    "duplicated",
    "double_started",
    "hung",
    "wrong",
    "unexpected",
    "damaged",
    "leaked_threads",
    "leaked_descriptors",
    "leaked_processes",
    "leaked_files",
)


@dataclass
class Figures:
    """The line of a campaign. ``failed``: tasks by the name of their error. ``unexpected``: of these, what has no
    name of ours. ``orphans``: large bodies that nothing refers to, as kills leave them; a later start removes them.
    ``waited``: the longest time in seconds in which tasks were open and none ended."""

    attempted: int = 0
    accepted: int = 0
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    unexpected: int = 0
    lost: int = 0
    duplicated: int = 0
    double_started: int = 0
    hung: int = 0
    leaked_threads: int = 0
    leaked_descriptors: int = 0
    leaked_processes: int = 0
    leaked_files: int = 0
    orphans: int = 0
    damaged: int = 0
    waited: float = 0.0

    def add(self, other: Figures) -> None:
        """Sum up, in place."""
        for one in fields(self):
            mine, more = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, max(mine, more) if one.name == "waited" else mine + more)

    def faults(self) -> dict[str, int]:
        """What must be 0."""
        return {name: found for name in MUST_BE_0 if (found := getattr(self, name))}


def read_journals(lines_of: Iterable[list[str]]) -> Figures:
    """The figures that programs wrote down. Of one that was killed those tasks are counted of whose end it heard; the
    others are told by the program that took them over."""
    found = Figures()
    for lines in lines_of:
        _read(lines, found)
    found.unexpected = sum(
        count for name, count in found.failed.items() if name.removeprefix("at submit: ") not in NAMED
    )
    found.lost += found.failed.pop("Forgotten", 0)
    return found


def _read(lines: list[str], found: Figures) -> None:
    tried: set[int] = set()
    ended: Counter[int] = Counter()
    whole = any(line.startswith("left ") for line in lines)
    for line in lines:
        match line.split(" ", 2):
            case ["tried", number]:
                tried.add(int(number))
            case ["ended", number, how]:
                ended[int(number)] += 1
                _count(found, how)
            case ["found", *how]:
                _count(found, " ".join(how))
            case ["reloaded", number]:
                found.attempted += int(number)
            case ["hung", number]:
                found.hung += int(number)
            case ["left", threads, rest]:
                files, children = map(int, rest.split())
                found.leaked_threads += max(0, int(threads))
                found.leaked_descriptors += max(0, files)
                found.leaked_processes += max(0, children)
            case ["waited", seconds]:
                found.waited = max(found.waited, float(seconds))
    found.attempted += len(tried) if whole else len(ended)
    found.duplicated += sum(count - 1 for count in ended.values())
    if whole:
        found.hung += len(tried - ended.keys())


def _count(found: Figures, how: str) -> None:
    if how == "ok":
        found.ok += 1
    elif how == "wrong":
        found.wrong += 1
    else:
        found.failed[how] += 1


def started_twice(trace: Path) -> int:
    """How many runs there were beyond the first of each task."""
    return sum(count - 1 for count in runs(trace).values() if count > 1)


def ok_without_a_run(journals: Iterable[list[str]], trace: Path) -> int:
    """Tasks that ended well and never ran."""
    ran = runs(trace)
    fine = {
        int(line.split()[1])
        for lines in journals
        for line in lines
        if line.startswith("ended ") and line.endswith(" ok")
    }
    return len(fine - ran.keys())
