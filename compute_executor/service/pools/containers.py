"""Containers: what functions can be run in besides the caller's interpreter, registered by their owners.

Each is a row: whose it is, and a source, which says how the endpoint makes it or where it is. What becomes of that is
the endpoint's (`endpoint.environments.environments`), which shares one environment among all of the same content.
Few and small, so all are kept in memory. Owner: the loop thread.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.endpoint.environments import recipes, runtimes
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.environments import QUEUED, Environments
from compute_executor.endpoint.environments.recipes import ImageDocument, Recipe, RecipeDocument, Source
from compute_executor.errors import InvalidRequest, NotFound, PayloadTooLarge, PoolBroken, ServiceUnavailable
from compute_executor.service.access import Identity, check, owned_by
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.served import ServedUsers
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

log: logging.Logger = logging.getLogger(__name__)

MOST = 100_000
"""Containers of all users, about 1 kB of memory each."""


class Container(NamedTuple):
    """A registered one."""

    id: bytes
    owner: str
    name: str
    description: str
    source: Source
    created: float

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{uuid.UUID(bytes=self.id)}{f' ({self.name})' if self.name else ''}"

    def document(self) -> dict[str, Any]:
        """Return what a client is shown."""
        return {
            "container_uuid": str(uuid.UUID(bytes=self.id)),
            "name": self.name,
            "description": self.description,
            **recipes.described(self.source),
        }


class Containers:
    """All containers of a service."""

    def __init__(
        self,
        read: Reader,
        committer: Committer,
        environments: Environments,
        limits: ServiceLimits,
        served: ServedUsers | None = None,
    ) -> None:
        self.environments = environments
        self._listeners: list[Callable[[bytes], object]] = []
        self._read = read
        self._committer = committer
        self._limits = limits
        self._served = served or ServedUsers()
        self._known: dict[bytes, Container] = {}

    def restore(self) -> None:
        """Restore what was registered before a restart; builds that it has interrupted begin anew."""
        for row in self._read.rows("all_containers"):
            try:
                found = Container._make((*row[:4], recipes.decode(row[4]), row[5]))
            except Exception:  # one row: the service goes on without it
                log.exception("container %s cannot be read and is set aside", row[0].hex())
                continue
            self._known[found.id] = found
            if found.owner not in self._served or not isinstance(found.source, Recipe):
                continue
            if self.environments.status(found.source) == QUEUED:
                self.environments.start(found.source)

    def on_registered(self, listener: Callable[[bytes], object]) -> None:
        """Call ``listener`` with each container that is registered, also with one that was there already: pools that
        failed for want of it may be tried again."""
        self._listeners.append(listener)

    # -- registering --------------------------------------------------------------------------------------

    async def register(self, who: Identity, document: ImageDocument) -> bytes:
        """Return the id of an image that exists. Raises InvalidRequest for what the endpoint cannot run,
        EndpointNotShared."""
        self._served.check(who.id)
        source = recipes.image(document)
        await runtimes.find(source.kind)
        return await self._add(who, document.name, document.description, source)

    async def build(self, who: Identity, document: RecipeDocument) -> bytes:
        """Return the id of an environment that is being built from now on, unless it is there already. Raises
        InvalidRequest for what cannot be built here, EndpointNotShared."""
        self._served.check(who.id)
        source = recipes.recipe(document)
        if source.kind != recipes.VENV:
            await runtimes.find(source.kind)
        return await self._add(who, document.name or "", document.description or "", source)

    async def _add(self, who: Identity, name: str, description: str, source: Source) -> bytes:
        described = len(name) + len(description)
        if described > self._limits.description:
            raise PayloadTooLarge(
                f"name and description of a container are {described} characters, the limit is "
                f"{self._limits.description} for both together"
            )
        if len(self._known) >= MOST:
            raise ServiceUnavailable(f"there are {len(self._known)} containers, which is the limit")
        one = Container(uuid.uuid4().bytes, who.id, name, description, source, time.time())
        row = (*one[:4], recipes.encode(source), one.created)
        kept = bytes(await self._committer.commit(lambda writer: writer.add_container(row)))
        self._known.setdefault(kept, one._replace(id=kept))
        self.environments.start(source)
        for listener in self._listeners:
            listener(kept)
        return kept

    # -- looking ------------------------------------------------------------------------------------------

    def find(self, who: Identity, container: bytes) -> Container:
        """Return a container that ``who`` may look at, and run functions in. Raises NotFound."""
        title = uuid.UUID(bytes=container) if len(container) == 16 else container.hex()
        found = self._known.get(container)
        check(who, "use container", owned_by(None if found is None else found.owner), f"container {title}")
        assert found is not None
        return found

    def of_kind(self, who: Identity, container: bytes, kind: str) -> Container:
        """Return the same, if it is of this kind. Raises NotFound."""
        found = self.find(who, container)
        if found.source.kind != kind.lower():
            raise NotFound(f"container {found.title} is of type {found.source.kind}, not {kind[:100]}")
        return found

    def build_document(self, who: Identity, container: bytes) -> dict[str, str]:
        """Return how the build stands, and what it has said. Raises NotFound."""
        source = self.find(who, container).source
        return {"status": self.environments.status(source), "log": self.environments.log(source)}

    # -- using --------------------------------------------------------------------------------------------

    async def environment(self, container: bytes) -> Environment:
        """Return what its workers start in, as soon as it is complete. Raises PoolBroken saying why it never will
        be."""
        found = self._known.get(container)
        if found is None:
            raise PoolBroken(f"there is no container {container.hex()} any more", began=False)
        try:
            return await self.environments.ready(found.source)
        except (PoolBroken, InvalidRequest) as error:
            raise PoolBroken(f"container {found.title} cannot be used: {error}", began=False) from error
