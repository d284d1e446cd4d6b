"""Registered functions: by content, by id, and by the small numbers that engines use. Owner: the loop thread."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple, TypeVar

from compute_executor.errors import FunctionNotPermitted, InvalidRequest, NotFound, PayloadTooLarge
from compute_executor.protocol.frames import Blob, Body
from compute_executor.serialization.content import digest
from compute_executor.service.access import NOBODYS, Identity, Owned, absent, check, may
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.blobs.rights import BlobRights
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.quotas import is_bounded, require_quota
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import ID_BYTES, FunctionRow, encode_metadata
from compute_executor.service.tasks.additions import Addition
from compute_executor.service.tasks.usage import StoredUsage

DIGEST_BYTES = 32
CACHED = 10_000
"""Functions remembered without asking the store, about 1 kB each."""

K = TypeVar("K")
V = TypeVar("V")


class Functions:
    """What can be run. Code stays in the store, unread."""

    def __init__(
        self,
        *,
        read: Reader,
        committer: Committer,
        blobs: BlobReferences,
        rights: BlobRights,
        usage: StoredUsage,
        limits: ServiceLimits,
    ) -> None:
        self._read = read
        self._committer = committer
        self._blobs = blobs
        self._rights = rights
        self._usage = usage
        self._limits = limits
        self._rows: dict[bytes, FunctionRow] = {}
        self._digests: dict[tuple[str, bytes], bytes] = {}
        self._owned: dict[bytes, Owned] = {}
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []

    async def register(self, who: Identity, row: FunctionRow, code: Body) -> bytes:
        """Store a function; the id under which it (or an equal one of its owner) is known, once committed."""
        self._check_quota(who, row)
        self._check(who, row, code)
        addition, new = Addition(row.owner, row.size if isinstance(code, bytes) else 0), False
        self._usage.additions.expect(addition)
        try:
            kept = await self._blobs.keep(code)
            found = await self._committer.commit(lambda writer: writer.add_function(row, kept))
            new = found == row.id
        finally:
            self._usage.additions.settled(addition, stored=new)
        if isinstance(kept, Blob) and not self._read.blob_in_use(kept.name):
            self._blobs.delete([kept.name])  # it was known already, with its code in another file
        self._rows.pop(found, None)  # it may have another name now
        if row.container is None and row.only_on is None:
            _remember(self._digests, (row.owner, row.digest), found)
        return bytes(found)

    def _check_quota(self, who: Identity, row: FunctionRow) -> None:
        if is_bounded(who):
            content = (who.id, row.digest, row.sharing)
            ((others,),) = self._read.rows("number_of_other_functions", content)
            require_quota(self._limits, who, "user_functions", others)
            require_quota(self._limits, who, "user_stored", self._usage.of(who.id).bytes, row.size)

    def _check(self, who: Identity, row: FunctionRow, code: Body) -> None:
        size = code.size if isinstance(code, Blob) else len(code)
        if size > self._limits.function:
            raise PayloadTooLarge(
                f"function {row.name[:100]} is {size} bytes, the limit is {self._limits.function}. Large data "
                "belongs into arguments or files, not into the function."
            )
        described = len(row.name) + len(row.description) + len(encode_metadata(row.metadata))
        if described > self._limits.description:
            raise PayloadTooLarge(
                f"name, description and metadata of function {row.name[:100]} are {described} characters, the "
                f"limit is {self._limits.description} for all together"
            )
        if isinstance(code, Blob):
            self._rights.check_use(who, [code])
            self._blobs.require([code])
        if digest(self._blobs.read(code)) != row.digest:
            raise InvalidRequest(f"the digest given for function {row.name} is not the sha256 of its code")

    def row(self, who: Identity, function: bytes, action: str = "read function") -> FunctionRow:
        """Return a function that ``who`` may see, or run. Raises NotFound."""
        found = self._rows.get(function)
        known = NOBODYS if found is None else Owned(found.owner, found.group, found.public)
        if not may(who, action, known):  # a foreign one that is remembered is asked for as if it were not
            check(who, action, self._read.function_owned(function), f"function {_named(function)}")
        return found or self._load(function)

    def visible(self, who: Identity, text: str, limit: int, offset: int) -> list[FunctionRow]:
        """Return functions that ``who`` may read and whose name or description contains ``text``: so many after the
        first ``offset``, one's own first, then the newest."""
        found = self._read.functions_shared(who.id, sorted(who.groups), text, limit, offset)
        return [row for row in found if may(who, "read function", Owned(row.owner, row.group, row.public))]

    def body(self, who: Identity, function: bytes) -> Body:
        """Return the code of a function that ``who`` may see. Raises NotFound."""
        return self._read.function_code(self.row(who, function).id)

    async def delete(self, who: Identity, function: bytes) -> None:
        """Delete a function: no client can submit it any more. Raises NotFound."""
        row = self.row(who, function, "delete function")
        await self._committer.commit(lambda writer: writer.delete_function(function))
        self._rows.pop(function, None)
        self._digests.pop((row.owner, row.digest), None)

    def _load(self, function: bytes) -> FunctionRow:
        found = self._read.function(function)
        if found is None:
            raise absent(f"function {_named(function)}")
        _remember(self._rows, function, found)
        return found

    def resolve(self, who: Identity, name: bytes) -> bytes:
        """Return the id of a function that ``who`` may run, named by its id or by the digest of one of its own."""
        if len(name) == DIGEST_BYTES:
            return self._by_digest(who.id, name)
        if len(name) != ID_BYTES:
            raise InvalidRequest(f"a function is named by 16 bytes (id) or 32 (sha256), not by {len(name)}")
        return self.row(who, name, "run function").id

    def _by_digest(self, owner: str, digest: bytes) -> bytes:
        known = self._digests.get((owner, digest)) or self._read.function_by_digest(owner, digest)
        if known is None:
            raise NotFound(f"no function with sha256 {digest.hex()} is registered: register it first")
        _remember(self._digests, (owner, digest), known)
        return known

    def container(self, function: bytes) -> bytes | None:
        """Return the container that a function is for. One that is named by its digest is for none."""
        if len(function) != ID_BYTES:
            return None
        return (self._rows.get(function) or self._load(function)).container

    def check_place(self, names: list[bytes], endpoint: bytes) -> None:
        """Raise FunctionNotPermitted if one of these functions may run on another endpoint only. One that is named by
        its digest may run on any."""
        for name in names:
            if len(name) != ID_BYTES:
                continue
            only_on = (self._rows.get(name) or self._load(name)).only_on
            if only_on is not None and only_on != endpoint:
                raise FunctionNotPermitted(
                    f"function {_named(name)} may run on endpoint {_named(only_on)} only, which was given as "
                    f"ha_endpoint_id when it was registered, and not on endpoint {_named(endpoint)}"
                )

    def owned(self, function: bytes) -> Owned:
        """Return whose a function is and with whom it is shared, which never changes; for the service itself, and of
        one that was deleted, too."""
        found = self._owned.get(function)
        if found is None:
            found = self._read.function_owned(function)
            _remember(self._owned, function, found)
        return found

    def number(self, function: bytes) -> int:
        """Return the small number of a function, the same while this process lives."""
        number = self._numbers.get(function)
        if number is None:
            number = self._numbers[function] = len(self._ids)
            self._ids.append(function)
        return number

    def id(self, number: int) -> bytes:
        """Return the id of the function with this number."""
        return self._ids[number]

    def code(self, number: int) -> Body:
        """Return the code of the function with this number."""
        return self._read.function_code(self._ids[number])


class FunctionSharing(NamedTuple):
    """With whom a function is shared: everybody, a group; the container it is for; the one endpoint on which it may
    run. Part of its content."""

    public: bool = False
    group: str | None = None
    container: bytes | None = None
    only_on: bytes | None = None


class FunctionDescription(NamedTuple):
    """What its owner says about a function; not part of its content."""

    name: str
    text: str
    metadata: dict[str, Any]


def new_function(
    owner: str, digest: bytes, described: FunctionDescription, shared: FunctionSharing, size: int
) -> FunctionRow:
    """Return a function to be registered, with an id of its own. The same code shared otherwise is another function.
    Raises InvalidRequest for one that is shared and may run on one endpoint only, whose data is its users' alone."""
    if shared.only_on is not None and (shared.public or shared.group):
        raise InvalidRequest("`ha_endpoint_id` is mutually exclusive with `public` and `group`")
    sharing = f"{int(shared.public)}/{shared.group or ''}/{(shared.container or b'').hex()}"
    if shared.only_on is not None:
        sharing += f"/{shared.only_on.hex()}"
    function = uuid.uuid4().bytes
    return FunctionRow(
        function, owner, digest, sharing, *described, *shared[:3], shared.only_on, None, size, time.time()
    )


def _remember(cache: dict[K, V], key: K, value: V) -> None:
    """Keep it without asking the store again; a full cache starts anew."""
    if len(cache) >= CACHED:
        cache.clear()
    cache[key] = value


def _named(function: bytes) -> str:
    return str(uuid.UUID(bytes=function)) if len(function) == ID_BYTES else function.hex()
