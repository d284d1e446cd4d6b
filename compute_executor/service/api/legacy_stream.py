"""The stream of legacy SDKs (funcX SDK 0.3 to 2.2): one JSON text frame for each task that has ended.

    client                                  service
    task group id, bare      ->
                             <-             {"task_id", "status", "result" | "exception", ...}   each that has ended
    another one              ->             at any time

There are no numbers and no acknowledgements: each connection gets a group's results from the first one on, and its
client knows which it has. They are read from the store as fast as the client takes them, so a slow one costs nothing.

Owner of all state: the loop thread.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocket

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import MAX_FRAME, Result, Written
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.api import documents
from compute_executor.service.auth.open_streams import StreamSession
from compute_executor.service.pools.subscriber import Began

if TYPE_CHECKING:
    from compute_executor.service.service import Service

ROOM = 1024 * 1024
"""Bytes of results that are read at a time."""


class LegacyClientStream:
    """One client. A `groups.Subscriber`."""

    def __init__(self, websocket: WebSocket, session: StreamSession, service: Service) -> None:
        self._websocket = websocket
        self._session = session
        self._service = service
        self._sent: dict[bytes, int] = {}  # number up to which a group's results are sent
        self._work = asyncio.Event()
        self._ending = False

    async def run(self, group_id: str) -> None:
        """Until the client goes or must go. Raises InvalidRequest for what is no id, NotFound for a foreign group."""
        self._service.connect(self)
        try:
            self._subscribe(group_id)
            await self._serve()
        finally:
            self._service.unsubscribe(self)

    async def _serve(self) -> None:
        tasks = [asyncio.ensure_future(self._send()), asyncio.ensure_future(self._receive())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _subscribe(self, group_id: str) -> None:
        try:
            group = uuid.UUID(group_id).bytes
        except ValueError:
            raise InvalidRequest("a frame is the id of a task group, and nothing else") from None
        most = self._service.limits.groups_per_stream
        if len(self._sent) >= most and group not in self._sent:
            raise InvalidRequest(f"one stream carries the results of {most} task groups at most")
        if group not in self._sent:
            self._sent[group] = self._service.subscribe(self._session.who, self, group)
        self._work.set()

    async def _receive(self) -> None:
        while True:
            try:
                group_id = await self._websocket.receive_text()
            except KeyError:
                raise InvalidRequest("a frame is text, the id of a task group") from None
            self._subscribe(group_id)

    async def _send(self) -> None:
        while not self._ending:
            await self._work.wait()
            self._work.clear()
            for group in list(self._sent):
                await self._send_group(group)

    async def _send_group(self, group: bytes) -> None:
        results, self._sent[group], all_of_them = self._service.replay(group, self._sent[group], ROOM)
        if not all_of_them:
            self._work.set()
        for result in results:
            task_id = task_uuid(result.prefix, result.position)
            text = await asyncio.to_thread(self._text, task_id, result)
            await self._websocket.send_text(text)
        await asyncio.sleep(0)

    def _text(self, task_id: str, result: Result) -> str:
        """Return the frame of one result, made in a helper thread: it may have to be read from a file."""
        document = documents.ended_task(
            task_id, result, lambda body: self._service.blobs.read(body, MAX_FRAME)
        )
        return msgspec.json.encode(document).decode()

    # -- what the service pushes --------------------------------------------------------------------------

    def results(self, group: bytes, results: list[Result]) -> None:
        """Read from the store, once they are there."""

    def stored(self, group: bytes) -> None:  # noqa: ARG002 - every group is looked at
        """Note that there are new ones."""
        self._work.set()

    def began(self, tasks: list[Began]) -> None:
        """Not told in this protocol."""

    def output(self, prefix: bytes, position: int, part: Written) -> None:
        """Nothing: clients of that time do not read it."""

    def pool_failed(self, pool: bytes, message: str) -> None:
        """Not told in this protocol."""

    async def goodbye(self, reason: str) -> None:  # noqa: ARG002 - the client only sees the connection end
        """End; what is not sent is in the store."""
        self._ending = True
        self._work.set()
