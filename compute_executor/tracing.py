"""A time line of every task, to see where its time goes: ``COMPUTE_EXECUTOR_TRACE=file`` or ``Executor(trace=file)``.

The file is a Chrome trace: open it at ui.perfetto.dev or chrome://tracing. Each task is a row of spans, one from
each place on its way to the next:

    submitted -> flushed -> received -> committed -> sent -> began -> ended -> reported -> stored -> streamed -> set
    '------ client -----'   '------- service ------'  '-- worker --'  '------- service ---------'   '- client -'

Times are Unix times of the processes that were there; on one machine they are one clock's. Towards a service that
cannot trace (another version, Globus Compute) the spans are fewer. Off, it costs one comparison per frame and
result; on, some 30 us a task.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from compute_executor.batch import CallBatch
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Hop, Hops, Result
from compute_executor.protocol.ids import task_uuid

SPANS = (
    ("wait to be sent", "flushed"),
    ("to the service", "received"),
    ("commit of the task", "committed"),
    ("wait for a worker", "sent"),
    ("to the worker", "began"),
    ("run", "ended"),
    ("from the worker", "reported"),
    ("until it is stored", "stored"),
    ("wait for the stream", "streamed"),
    ("to the future", "set"),
)
"""The spans of a task in order: each begins where the one before ended, and ends at the named place."""


class TraceFile:
    """File of events. Several Executors and processes may write to one: every write is whole lines, appended."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        if not os.fstat(self._file).st_size:
            os.write(self._file, b"[\n")  # viewers do without the closing bracket

    def write(self, events: Iterable[dict[str, Any]]) -> None:
        """Append events."""
        data = "".join(json.dumps(event) + ",\n" for event in events).encode()
        with self._lock:
            os.write(self._file, data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Trace:
    """Time line of the tasks of one session. Owner: the thread that holds the I/O lock (session/stream/loop.py)."""

    def __init__(self, path: str) -> None:
        self._file = TraceFile(path)
        self._flushed: dict[
            bytes, tuple[float, dict[int, str]]
        ] = {}  # by batch: when, and functions by position
        self._hops: dict[tuple[bytes, int], tuple[Hop, float]] = {}
        self._events: list[dict[str, Any]] = []

    def flushed(self, batch: CallBatch) -> None:
        """Note that a batch is written to the connection."""
        self._flushed[batch.prefix] = (
            time.time(),
            {position: call.function.name for position, call in enumerate(batch.calls)},
        )

    def hops(self, frame: Hops) -> None:
        """Keep what the service reports of tasks whose results come next."""
        for hop in frame.tasks:
            self._hops[hop.prefix, hop.position] = (hop, frame.streamed)

    def ended(self, future: ComputeFuture[Any], result: Result) -> None:
        """Note that a future has ended."""
        flushed, names = self._flushed.get(result.prefix, (0.0, {}))
        name = names.pop(result.position, "task")
        if not names:
            self._flushed.pop(result.prefix, None)
        hop, streamed = self._hops.pop((result.prefix, result.position), (Hop(b"", 0), 0.0))
        places = {
            "submitted": future.timings.submitted,
            "flushed": flushed,
            **{
                place: getattr(hop, place)
                for place in ("received", "committed", "sent", "reported", "stored")
            },
            "began": result.began,
            "ended": result.ended,
            "streamed": streamed,
            "set": time.time(),
        }
        self._events += spans(task_uuid(result.prefix, result.position), name, places)
        if len(self._events) > 1000:
            self.write()

    def write(self) -> None:
        """Write the events that wait."""
        events, self._events = self._events, []
        if events:
            self._file.write(events)

    def close(self) -> None:
        """Write the rest."""
        self.write()
        self._file.close()


def spans(task_id: str, name: str, places: dict[str, float]) -> list[dict[str, Any]]:
    """Return the events of one task. ``places``: Unix times; 0.0: not known, then its span joins the next."""
    common = {"cat": "task", "id": task_id, "pid": os.getpid(), "tid": 0}
    began = places["submitted"]
    events = [{"ph": "b", "name": name, "ts": began * 1e6, "args": {"task": task_id}, **common}]
    for span, place in SPANS:
        moment = places.get(place, 0.0)
        if moment:
            moment = max(moment, began)  # clocks of two machines may differ
            events.append({"ph": "b", "name": span, "ts": began * 1e6, **common})
            events.append({"ph": "e", "name": span, "ts": moment * 1e6, **common})
            began = moment
    events.append({"ph": "e", "name": name, "ts": began * 1e6, **common})
    return events
