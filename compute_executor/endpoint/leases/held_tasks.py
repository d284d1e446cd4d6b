"""The tasks that a holder holds: which wait here, which are with its engine. No I/O.

add -> waiting -> taken by the engine -> ended
          \\-> given back                 because of a recall, or because others have room for it
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key


class HeldTasks:
    """Every task that was received and has not ended or been given back. ``gone``: called with each that is held no
    more."""

    def __init__(self, gone: Callable[[Key], object] = lambda _: None) -> None:
        self._gone = gone
        self._held: dict[Key, Assignment] = {}
        self._waiting: deque[Key] = deque()  # may name tasks that are not held any more
        self._with_engine: set[Key] = set()

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._held

    @property
    def waiting(self) -> int:
        """How many are not with the engine."""
        return len(self._held) - len(self._with_engine)

    @property
    def keys(self) -> list[Key]:
        """All of them."""
        return list(self._held)

    def running(self) -> set[Key]:
        """Return those with the engine."""
        return set(self._with_engine)

    def add(self, task: Assignment) -> None:
        """Note that this one was received; it is ready when its body is."""
        self._held[task[:3]] = task

    def ready(self, key: Key) -> None:
        """Note that its body is here: the engine may have it."""
        if key in self._held:
            self._waiting.append(key)

    def take(self, limit: int) -> list[Assignment]:
        """Return up to ``limit`` of those that are ready, oldest first; they are with the engine from here on."""
        taken: list[Assignment] = []
        while self._waiting and len(taken) < limit:
            key = self._waiting.popleft()
            task = self._held.get(key)
            if task is not None and key not in self._with_engine:
                self._with_engine.add(key)
                taken.append(task)
        return taken

    def came_back(self, keys: Iterable[Key]) -> None:
        """Note that the engine has not begun these: they are the first to be taken again."""
        back = [key for key in keys if key in self._with_engine]
        self._with_engine.difference_update(back)
        self._waiting.extendleft(reversed(back))

    def remove(self, key: Key) -> bool:
        """Note that this one has ended, or is given up; return whether it was held."""
        self._with_engine.discard(key)
        if self._held.pop(key, None) is None:
            return False
        self._gone(key)
        return True

    def give_back(self, tasks: Collection[tuple[int, int]]) -> list[Key]:
        """Remove those of these (batch, position) that are not with the engine; which they were."""
        wanted = set(tasks)
        return self._remove([key for key in self._held if key[:2] in wanted and key not in self._with_engine])

    def give_back_newest(self, keep: int) -> list[Key]:
        """Remove all that are not with the engine but the oldest ``keep``; which they were."""
        idle = [key for key in self._held if key not in self._with_engine]
        return self._remove(idle[max(0, keep) :])

    def _remove(self, keys: list[Key]) -> list[Key]:
        for key in keys:
            del self._held[key]
            self._gone(key)
        return keys
