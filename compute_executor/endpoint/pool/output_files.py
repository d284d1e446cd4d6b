"""What the tasks of a worker write, as the engine reads it: three files, and which part of them is which task's.

The worker says after each task up to which position its output goes; while a task runs for long, the engine looks
for itself. What has been read gives its room on the disk back, also in the middle of a task, so that no task fills
the disk. All state belongs to the loop's thread.
"""

from __future__ import annotations

import os

from compute_executor import system
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import Written

KEPT = 64 * 1024
"""Bytes of each stream of a task that are kept for its result: the last ones."""

MOST_AT_ONCE = 1 << 20
"""Bytes of each stream that are read at a time: of more, the last ones. Read ten times a second, that is more than
anybody reads, and little beside what a service carries."""

FREE_AFTER = 1 << 20
"""Bytes that are read before their room on the disk is given back."""

STREAMS = 3
OUT, ERR, RECORDS = range(STREAMS)

Parts = tuple[tuple[int, bytes], tuple[int, bytes], tuple[int, bytes]]
"""For each stream: how many bytes there are since the last part, and the last ones of these."""


class OutputFiles:
    """The files of one worker: stdout, stderr, log records. Raises OSError if they cannot be made."""

    def __init__(self, folder: str) -> None:
        self.files: list[int] = []
        try:
            for _ in range(STREAMS):
                self.files.append(system.scratch_file(folder))
        except BaseException:
            self.close()
            raise
        self._read = [0] * STREAMS
        self._freed = [0] * STREAMS

    def new(self) -> bool:
        """Return whether something was written that was not read."""
        return any(end > read for end, read in zip(self.ends(), self._read, strict=True))

    def ends(self) -> tuple[int, ...]:
        """Return how far what is written goes, in each file."""
        return tuple(os.fstat(file).st_size for file in self.files)

    def read(self) -> Parts:
        """Return what was written since the last call."""
        return self._parts(self.ends())

    def read_each(self, ends: list[tuple[int, ...]]) -> list[Parts]:
        """Return what was written since the last call, up to each of these positions, which rise: cut from one piece,
        as many short tasks write little. Written out for speed: it is done for each task that prints."""
        last = ends[-1]
        if len(ends) == 1 or max(map(int.__sub__, last, self._read)) > MOST_AT_ONCE:
            return [self._parts(each) for each in ends]
        x, y, z = begins = tuple(self._read)
        (_, out), (_, err), (_, records) = self._parts(last)
        before_out, before_err, before_records = begins
        cut: list[Parts] = []
        for a, b, c in ends:
            one = two = three = b""
            if a > x:
                one, x = out[x - before_out : a - before_out], a
            if b > y:
                two, y = err[y - before_err : b - before_err], b
            if c > z:
                three, z = records[z - before_records : c - before_records], c
            cut.append(((len(one), one), (len(two), two), (len(three), three)))
        return cut

    def _parts(self, ends: tuple[int, ...]) -> Parts:
        out, err, records = map(self._read_one, range(STREAMS), ends)
        return out, err, records

    def _read_one(self, stream: int, end: int) -> tuple[int, bytes]:
        file, begin = self.files[stream], self._read[stream]
        if end <= begin:
            return 0, b""
        first = max(begin, end - MOST_AT_ONCE)
        text = os.pread(file, end - first, first)
        self._read[stream] = end
        if end - self._freed[stream] > FREE_AFTER:
            self._freed[stream] = end
            system.free_space(file, end)
        return end - begin, text

    def close(self) -> None:
        """Let go of the files."""
        while self.files:
            os.close(self.files.pop())


class TaskTexts:
    """The end of what tasks of one worker have written that have not been reported yet."""

    def __init__(self) -> None:
        self._ends: dict[Key, Written] = {}

    def add(self, key: Key, parts: Parts) -> Written:
        """Note that a task has written this; return these parts as a client gets them."""
        before = self._ends.get(key, NOTHING)
        if before is NOTHING and size(parts) <= KEPT:  # nearly always
            (_, out), (_, err), (_, records) = parts
            part = self._ends[key] = Written(out, err, records, attempt=key[2])
            return part
        part = following(before, parts, key[2])
        self._ends[key] = end_of(before, part)
        return part

    def sent(self, key: Key) -> None:
        """Note that what a task has written went without its result, which had gone before: only how much it was is
        kept."""
        end = self._ends[key]
        starts = [start + len(text) for start, text in zip(end.starts, end.streams(), strict=True)]
        self._ends[key] = Written(starts=(starts[OUT], starts[ERR], starts[RECORDS]), attempt=end.attempt)

    def take(self, key: Key) -> Written | None:
        """Return the end of what a task has written; None if that is nothing. It is forgotten."""
        return self._ends.pop(key, None)


NOTHING = Written()


def following(before: Written, parts: Parts, attempt: int) -> Written:
    """Return parts of a task's output that come after ``before``."""
    (out_count, out), (err_count, err), (count, records) = parts
    if before is NOTHING:
        starts = out_count - len(out), err_count - len(err), count - len(records)
    else:
        starts = (
            before.starts[OUT] + len(before.out) + out_count - len(out),
            before.starts[ERR] + len(before.err) + err_count - len(err),
            before.starts[RECORDS] + len(before.records) + count - len(records),
        )
    return Written(out, err, records, starts, attempt)


def end_of(before: Written, part: Written) -> Written:
    """Return the end of both."""
    if before is NOTHING and max(map(len, part.streams())) <= KEPT:
        return part
    ends = []
    for (text, start), (more, begin) in zip(
        zip(before.streams(), before.starts, strict=True),
        zip(part.streams(), part.starts, strict=True),
        strict=True,
    ):
        whole = text + more if begin == start + len(text) else more
        ends.append((whole[-KEPT:], begin + len(more) - len(whole[-KEPT:])))
    (out, first), (err, second), (records, third) = ends
    return Written(out, err, records, (first, second, third), part.attempt)


def size(parts: Parts) -> int:
    """Return the bytes in the longest of the parts."""
    (out, _), (err, _), (records, _) = parts
    return max(out, err, records)
