"""An engine that does what a test says, and a service around it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from compute_executor.endpoint.environments.environments import Environments
from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded, WorkerView
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import StoreBusy
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix
from compute_executor.service.access import Identity
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.pools import default_pool_id
from compute_executor.service.service import Service
from compute_executor.service.store.store import Operation, Store, WriteResult
from compute_executor.service.wiring import Components

ALICE, BOB = Identity("alice", "Alice"), Identity("bob", "Bob")
SPEC = frames.PoolSpec(2, "python", [], "/", {}, label="test")
GROUP, POOL = b"g" * 16, b"p" * 16
DEFAULT_POOL = default_pool_id(ALICE.id)
CODE = b"code of a function"
DIGEST = hashlib.sha256(CODE).digest()

reason = msgspec.msgpack.Decoder(frames.Reason).decode


class FakeEngine:
    """Records what it is told. With ``echo`` it ends every task at once with its own body as the value."""

    def __init__(self, events: EngineEvents, *, echo: bool = False) -> None:
        self.events = events
        self.echo = echo
        self.opened: dict[bytes, frames.PoolSpec] = {}
        self.closed: list[bytes] = []
        self.woken: list[bytes] = []
        self.withdrawable: set[tuple[int, int]] = set()
        self.running: set[tuple[int, int]] = set()
        self.views: list[WorkerView] = []
        self.ended = False

    def open(self, pool: bytes, spec: frames.PoolSpec, environment: object = None) -> None:
        self.opened[pool] = spec

    def wake(self, pool: bytes) -> None:
        self.woken.append(pool)
        if self.echo:
            asyncio.get_running_loop().call_soon(self._run, pool)

    def _run(self, pool: bytes) -> None:
        while assignments := self.events.take(pool, 256):
            self.end(pool, assignments)

    def end(
        self, pool: bytes, assignments: list[Assignment], status: int = frames.VALUE, *, kept: bool = False
    ) -> None:
        self.events.ended(
            pool,
            [
                TaskEnded(batch, pos, attempt, status, body, 1.0, 2.0)
                for batch, pos, attempt, _, body, *_ in assignments
            ],
            kept=kept,
        )

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        return self.withdrawable & set(tasks)

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        return self.running & set(tasks)

    def close_pool(self, pool: bytes) -> None:
        self.closed.append(pool)

    def workers(self) -> list[WorkerView]:
        return self.views

    async def close(self) -> None:
        self.ended = True


class Listener:
    """A subscriber that keeps what it hears; `heard` waits for a number of results."""

    def __init__(self) -> None:
        self.got: list[frames.Result] = []
        self.stored_groups: list[bytes] = []
        self.begun: list[tuple[bytes, int, float]] = []
        self.failures: list[tuple[bytes, str]] = []
        self.goodbyes: list[str] = []
        self._news = asyncio.Event()

    def results(self, group: bytes, results: list[frames.Result]) -> None:
        self.got += results
        self._news.set()

    def stored(self, group: bytes) -> None:
        self.stored_groups.append(group)

    def began(self, tasks: list[tuple[bytes, int, float]]) -> None:
        self.begun += tasks

    def output(self, prefix: bytes, position: int, part: frames.Written) -> None:
        """See Subscriber."""

    def pool_failed(self, pool: bytes, message: str) -> None:
        self.failures.append((pool, message))

    async def goodbye(self, reason: str) -> None:
        self.goodbyes.append(reason)

    async def heard(self, count: int) -> list[frames.Result]:
        while len(self.got) < count:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)
        return self.got


class ServiceFixture:
    """A state folder; `start` opens a service in it, as often as wanted. ``parts``: those of the newest service."""

    def __init__(self, folder: Path | None = None, *, durable: bool = False, echo: bool = False) -> None:
        self.folder = folder or Path(tempfile.mkdtemp())
        self.durable = durable
        self.echo = echo
        self.rings = self.folder / "rings"
        self.blobs = BlobFolder(self.folder / "blobs")
        self.rings.mkdir(exist_ok=True)
        self.blobs.folder.mkdir(exist_ok=True)
        self.engine: FakeEngine
        self.parts: Components
        self.store: Store

    @property
    def path(self) -> Path:
        return self.folder / "store.sqlite"

    async def start(self, **changed: Any) -> Service:
        limits = changed.pop("limits", ServiceLimits())
        self.store = Store(self.path, durable=self.durable)

        def engine(events: EngineEvents) -> FakeEngine:
            self.engine = FakeEngine(events, echo=self.echo)
            return self.engine

        changed.setdefault("default_pool", SPEC)
        changed.setdefault("environments", Environments(self.folder / "environments"))
        who_is = changed.pop("who_is", None)
        self.parts = Components(self.store, self.blobs, engine, limits=limits, **changed)
        service = Service(self.parts, self.rings, who_is=who_is)
        await service.start()
        return service

    def lock_store(self) -> Callable[[], None]:
        """Have commits wait from now on, as for another process's lock; return what ends that."""
        run = self.store.run

        def busy(operations: Sequence[Operation]) -> list[WriteResult]:
            raise StoreBusy("locked by the test")

        self.store.run = busy
        return functools.partial(setattr, self.store, "run", run)


def batch(
    bodies: list[frames.Body], *, group: bytes = GROUP, prefix: bytes | None = None, **changed: Any
) -> frames.Submit:
    """A batch of one function, that of `DIGEST`."""
    tasks = msgspec.Raw(msgspec.msgpack.encode([(0, body) for body in bodies]))
    return frames.Submit(
        **{
            "prefix": prefix or new_prefix(),
            "group": group,
            "endpoint": b"",
            "pool": None,
            "functions": [DIGEST],
            "tasks": tasks,
            "count": len(bodies),
            **changed,
        }
    )


async def register(service: Service, who: Identity = ALICE) -> bytes:
    return await service.register(who, DIGEST, "f", CODE)


def live(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A coroutine as a test: on a loop of its own, for at most 20 seconds."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


async def turn(times: int = 5) -> None:
    """Let the loop do what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(fixture: ServiceFixture, **changed: Any) -> AsyncIterator[Service]:
    """A service of the fixture, closed at the end."""
    service = await fixture.start(**changed)
    try:
        yield service
    finally:
        await service.close()


def take(
    fixture: ServiceFixture, limit: int = 100, pool: bytes | None = None, *, of: Identity = ALICE
) -> list[Assignment]:
    """What the engine of the fixture takes: from this pool, else from the default one of a user."""
    return fixture.engine.events.take(pool or default_pool_id(of.id), limit)
