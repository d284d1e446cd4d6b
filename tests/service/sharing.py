"""A service with two users, a group, a stranger and an admin, and things of one of them, for the table of who may do
what."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import pickle
import secrets
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.environments import Environments
from compute_executor.endpoint.environments.recipes import RecipeDocument
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, split_task_id, task_uuid
from compute_executor.service.access import Identity, subject
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.globus_compute.peers import KIND
from compute_executor.service.service import Service
from tests.service.api.test_stream import Client
from tests.service.asgi import HOST, Answer, request
from tests.service.fixture import DEFAULT_POOL, SPEC, ServiceFixture, batch, serving, take, turn

TEAM = "0a1b2c3d-0000-4000-8000-00000000000f"
USERS = {
    "owner": Identity("owner", "Olga", frozenset({TEAM})),
    "member": Identity("member", "Max", frozenset({TEAM})),
    "stranger": Identity("stranger", "Sam", frozenset({str(uuid.UUID(int=9))})),
    "admin": Identity("admin", "Ada", admin=True),
}
OWNER = USERS["owner"]
CALL = "28\n00\ngASVBQAAAAAAAABLAYWULg==\n12\n00\ngAR9lC4=\n"


class ByName:
    """An Authenticator: the token is the name."""

    async def identify(self, token: str) -> Identity | None:
        return USERS.get(token)


class Broker:
    """A broker, its link and its credentials at once, that does nothing."""

    open = False

    async def declare(self, queue: str) -> None:
        """Made."""

    async def url(self, name: str, rights: object) -> str:
        return "amqp://broker"

    async def drop(self, name: str) -> None:
        """Dropped."""

    async def close(self) -> None:
        """Closed."""


class World:
    """The service, and what of the owner's there is in it."""

    def __init__(self, fixture: ServiceFixture, service: Service) -> None:
        self.fixture, self.service = fixture, service
        self.stopped = 0
        self.audited: list[str] = []
        service.audit._write = self.audited.append
        shell = AppContext(service, fixture.blobs, "instance-1", stop=self._stop, accounts=service.accounts())
        self.app = make_app(shell, AccessConfig(ByName(), [HOST]))
        service.globus_compute._link = service.globus_compute._credentials = cast(Any, Broker())
        self.open_function = b""
        self.prefix = new_prefix()
        self._numbers = itertools.count()

    def _stop(self) -> None:
        self.stopped += 1

    async def ask(self, user: str, method: str, path: str, body: bytes, kind: str) -> Answer:
        headers = {"authorization": f"Bearer {user}", "content-type": kind, "accept": kind}
        return await request(self.app, method, path, body=body, headers=headers)

    async def say(self, user: str, *said: Any) -> list[bytes]:
        """What comes back on a stream, up to the answer to a last, harmless frame, or to the close."""
        client, heard = Client(self.service, USERS[user]), []
        await client.hello()
        client.say(*said, frames.Cancel(99, []))
        while (message := await client.message())["type"] != "websocket.close":
            heard.append(message["bytes"])
            if message["bytes"] == msgspec.msgpack.encode(frames.Cancelled(99, [])):
                await client.leave()
                return heard
        return [*heard, f"{message['code']} {message['reason']}".encode()]

    def audit(self) -> list[str]:
        """The lines of refusals since this was asked before."""
        lines, self.audited[:] = list(self.audited), []
        self.service.audit._counts.clear()
        self.service.audit._lines = 0
        return lines

    # -- things of the owner's ----------------------------------------------------------------------------

    async def make(self, kind: str, sharing: str) -> str:
        """A new thing; its id."""
        return str(await getattr(self, f"_{kind}")(sharing))

    def absent(self, kind: str) -> str:
        """The id of one that there is not."""
        if kind in ("code", "argument"):
            return secrets.token_hex(16)
        return task_uuid(new_prefix(), 0) if kind in ("task", "ended") else str(uuid.uuid4())

    async def register(self, sharing: str, code: bytes | None = None) -> bytes:
        code = code or f"code {next(self._numbers)}".encode()
        body = await self.fixture.blobs.keep(code)
        group = TEAM if sharing == "team" else None
        digest = hashlib.sha256(code).digest()
        return await self.service.register(OWNER, digest, "f", body, public=sharing == "public", group=group)

    async def _nothing(self, sharing: str) -> str:
        return ""

    async def _team(self, sharing: str) -> str:
        return TEAM

    async def _user(self, sharing: str) -> str:
        return subject("owner")

    async def _function(self, sharing: str) -> uuid.UUID:
        return uuid.UUID(bytes=await self.register(sharing))

    async def _code(self, sharing: str) -> str:
        before = set(self.fixture.blobs.folder.iterdir())
        await self.register(sharing, secrets.token_bytes(70_000))
        (path,) = set(self.fixture.blobs.folder.iterdir()) - before
        return path.name

    async def _argument(self, sharing: str) -> str:
        body = await self.fixture.blobs.keep(secrets.token_bytes(70_000))
        assert isinstance(body, frames.Blob)
        await self.service.submit(OWNER, self.batch(body))
        return body.name

    async def _endpoint(self, sharing: str) -> uuid.UUID:
        public, group = sharing == "public", TEAM if sharing == "team" else None
        said = EndpointRegistration("e", multi_user=True, public=public, group=group)
        return (await self.service.endpoints.register(OWNER, KIND, said, None)).id

    async def _agent(self, sharing: str) -> uuid.UUID:
        public, group = sharing == "public", TEAM if sharing == "team" else None
        name = f"agent{next(self._numbers)}"
        said = EndpointRegistration(name, multi_user=public, public=public, group=group)
        return (await self.service.agents.register(OWNER, said))[0].id

    async def _task(self, sharing: str) -> str:
        sent = self.batch(b"argument")
        await self.service.submit(OWNER, sent)
        return task_uuid(sent.prefix, 0)

    async def _ended(self, sharing: str) -> str:
        task_id = await self._task(sharing)
        for task in take(self.fixture):
            self.fixture.engine.end(DEFAULT_POOL, [task._replace(body=pickle.dumps(1))])
        await turn(30)
        return task_id

    async def _group(self, sharing: str) -> uuid.UUID:
        sent = self.batch(b"argument")
        await self.service.submit(OWNER, sent)
        return uuid.UUID(bytes=sent.group)

    async def _pool(self, sharing: str) -> uuid.UUID:
        pool = uuid.uuid4()
        await self.service.open_pool(OWNER, pool.bytes, SPEC)
        return pool

    async def _container(self, sharing: str) -> uuid.UUID:
        document = RecipeDocument(name=str(next(self._numbers)), pip=["six"])
        return uuid.UUID(bytes=await self.service.containers.build(OWNER, document))

    def batch(self, body: frames.Body = b"", **changed: Any) -> frames.Submit:
        """One task of the function that everybody may run, in a group of its own."""
        what = {"functions": [self.open_function], "group": secrets.token_bytes(16), **changed}
        return batch([body], **what)

    def stands(self, kind: str, thing: str) -> bool:
        """Whether the thing is as it was made."""
        if kind == "function":
            return self.service.function(OWNER, uuid.UUID(thing).bytes).name == "f"
        if kind == "endpoint":
            return self.service.endpoints.row(OWNER, uuid.UUID(thing)).locked_until == 0
        if kind == "task":
            return self.service.task(OWNER, *split_task_id(thing)).status == "waiting-for-ep"
        if kind == "pool":
            pools = self.service.overview()["pools"]
            return any(one["pool"] == uuid.UUID(thing).hex and one["state"] == "open" for one in pools)
        return not self.stopped


async def _ready(source: object, folder: Path, log: object) -> Environment:
    return Environment("python", "3.11")


@contextlib.asynccontextmanager
async def shared_world(folder: Path) -> AsyncIterator[World]:
    fixture = ServiceFixture(folder)
    builds = Environments(folder / "environments", cast(Any, _ready))
    async with serving(fixture, environments=builds) as service:
        world = World(fixture, service)
        world.open_function = await world.register("public")
        yield world


def masked(answer: bytes, thing: str) -> bytes:
    """An answer without the id that was asked about, in all its forms."""
    for form in (thing, thing.replace("-", ""), thing.replace("-", "")[:24]):
        answer = answer.replace(form.encode(), b"ID")
    with contextlib.suppress(ValueError):
        raw = uuid.UUID(thing).bytes
        answer = answer.replace(raw, b"ID").replace(raw[:12], b"ID")
    return answer
