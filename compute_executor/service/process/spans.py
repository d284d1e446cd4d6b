"""A span of OpenTelemetry for each task that ends: ``serve --otel`` (extra ``otel``).

The spans are made of what the store has of a task, by a reader of its own in a thread, some seconds after its end: so
nothing of it lies on a task's way. A task group is a trace. Where the spans go is said by OpenTelemetry's own
variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.

    task       from the submit to the end
      run      from the beginning in the worker to the end
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.store.database import open_reader
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import ID_BYTES
from compute_executor.service.tasks.task_states import ENDED, SUCCEEDED

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log: logging.Logger = logging.getLogger(__name__)

PERIOD = 2.0
"""Seconds between two looks for tasks that have ended."""
STEP = 2_000
"""Outcomes that are read at once."""
NAME = "compute_executor"


class SpanExport:
    """Exports a span for each outcome that is stored from now on. Owner: the loop thread; one thread at a time reads
    for it."""

    def __init__(self, database: Path, provider: TracerProvider) -> None:
        self._database = database
        self._provider = provider
        self._tracer = provider.get_tracer(NAME)
        with contextlib.closing(open_reader(database)) as connection:
            self._after = Reader(connection).last_seq()

    async def run(self) -> None:
        """Export until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                while await asyncio.to_thread(self.export_some):
                    pass
            except Exception:
                log.exception("spans cannot be made")

    def close(self) -> None:
        """Export the rest."""
        while self.export_some():
            pass
        self._provider.shutdown()

    def export_some(self) -> bool:
        """Export spans of the next outcomes; whether there may be more. Takes some milliseconds, on any thread."""
        with contextlib.closing(open_reader(self._database)) as connection:
            read = Reader(connection)
            rows = read.rows("spans", (self._after, STEP))
            for row in rows:
                self._export(read, row)
        if rows:
            self._after = rows[-1][0]
        return len(rows) == STEP

    def _export(self, read: Reader, row: Any) -> None:
        from opentelemetry import trace

        _, prefix, position, status, attempt, began, ended, worker, created, group, functions, index = row
        place = int.from_bytes(index or b"", "little") * ID_BYTES
        names = read.rows("function_name", (functions[place : place + ID_BYTES],))
        attributes = {
            "task.id": task_uuid(prefix, position),
            "task.group": str(uuid.UUID(bytes=group)),
            "task.state": ENDED[status],
            "task.attempt": attempt,
            **({"process.pid": worker} if worker else {}),
        }
        span = self._tracer.start_span(
            names[0][0] if names else "?",
            _trace_of(group),
            attributes=attributes,
            start_time=_nanoseconds(created),
        )
        if ENDED[status] != SUCCEEDED:
            span.set_status(trace.StatusCode.ERROR, ENDED[status])
        if began:
            inside = trace.set_span_in_context(span)
            self._tracer.start_span("run", inside, start_time=_nanoseconds(began)).end(_nanoseconds(ended))
        span.end(_nanoseconds(max(ended, created)))


def _trace_of(group: bytes) -> Any:
    """Return a context in which spans belong to the trace of a task group."""
    from opentelemetry import trace

    parent = trace.SpanContext(
        int.from_bytes(group, "big") or 1,
        int.from_bytes(group[:8], "big") or 1,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def otlp_provider() -> TracerProvider:
    """Return a provider that sends to where OpenTelemetry's variables say. Raises InvalidRequest without the
    package."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidRequest(
            f"--otel needs a package ({error.name}): pip install 'compute-executor[otel]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": NAME}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
