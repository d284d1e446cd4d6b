"""Spans of tasks: one for each that ends, in the trace of its group, with what the store knows of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol import frames
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.process import spans
from compute_executor.service.process.spans import SpanExport
from tests.service.fixture import ALICE, DEFAULT_POOL, GROUP, ServiceFixture, batch, live, register, serving


@live
async def test_each_task_that_ends_is_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "PERIOD", 0.01)
    monkeypatch.setattr(spans, "STEP", 2)
    fixture, kept = ServiceFixture(tmp_path), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"before"]))
        fixture.engine.end(DEFAULT_POOL, fixture.engine.events.take(DEFAULT_POOL, 1))
        await fixture.parts.outcomes.all_stored()
        export = SpanExport(fixture.path, provider)
        running = asyncio.ensure_future(export.run())
        one = batch([b"1", b"2", b"3"])
        await service.submit(ALICE, one)
        now = time.time()
        ends = [
            TaskEnded(number, position, attempt, status, b"", began, now + 2, None, worker)
            for (number, position, attempt, *_), status, began, worker in zip(
                fixture.engine.events.take(DEFAULT_POOL, 3),
                (frames.VALUE, frames.EXCEPTION, frames.CANCELLED),
                (now + 1, now + 1, 0.0),
                (4711, 4712, 0),
                strict=True,
            )
        ]
        fixture.engine.events.ended(DEFAULT_POOL, ends)
        await fixture.parts.outcomes.all_stored()
        while len(kept.get_finished_spans()) < 2:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(export.close)
    found = kept.get_finished_spans()
    tasks = {(span.attributes or {})["task.id"]: span for span in found if span.name == "f"}
    assert list(tasks) == [task_uuid(one.prefix, position) for position in range(3)], "nothing from before"
    value, failed, cancelled = tasks.values()
    assert {span.context.trace_id for span in found} == {int.from_bytes(GROUP, "big")}
    assert (value.attributes or {})["process.pid"] == 4711
    assert [span.status.is_ok for span in (value, failed, cancelled)] == [True, False, False]
    assert failed.status.description == "failed"
    runs = [span for span in found if span.name == "run"]
    assert [span.parent.span_id for span in runs if span.parent] == [
        value.context.span_id,
        failed.context.span_id,
    ]
    assert [(span.end_time or 0) - (span.start_time or 0) for span in runs] == pytest.approx(
        [1e9, 1e9], rel=1e-3
    )
