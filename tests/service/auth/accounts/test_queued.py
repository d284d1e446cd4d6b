"""What becomes of queued tasks when accounts change: while the service runs, and while it does not.

What has not begun is judged by what its owner may do now; a token is a way in, and no owner of anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor.protocol import frames
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.accounts.commands import AccountCommand, perform
from compute_executor.service.auth.accounts.folder import perform_in
from compute_executor.service.pools.pools import default_pool_id
from compute_executor.service.process.run import ServiceSettings, _Process
from compute_executor.service.process.server import bind
from compute_executor.service.process.starter import StartNotifier
from compute_executor.service.service import Service
from tests.service.fixture import Listener, ServiceFixture, batch, live, reason, serving, take, turn

WHERE = pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it does not"])
NO_MORE = "is no longer shared with"
GONE = "is no user of this service any more"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Commands on a folder set that of their process."""
    before = os.umask(0o077)
    yield
    os.umask(before)


class Town:
    """A service with Ann and Bob, who share the group lab; what Bob has queued, by the name of what it needs."""

    def __init__(self, folder: Path) -> None:
        self.fixture = ServiceFixture(folder)
        self.service: Service
        self.accounts: Accounts
        self.bob: Identity
        self.token_id = ""  # of Bob's
        self.sent: dict[str, frames.Submit] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Served as `serve --auth token` does."""
        with contextlib.closing(bind("127.0.0.1", 0)) as listener:
            who_is = _Process(
                ServiceSettings(self.fixture.folder, accounts=True, trust_all_users=True),
                listener,
                StartNotifier(None),
            )._who_is
            async with serving(self.fixture, who_is=who_is) as self.service:
                self.accounts = self.service.accounts()
                async with self.accounts.watching(self.service):
                    yield

    async def do(self, command: str, name: str, member: str | None = None) -> dict[str, Any]:
        return await perform(self.accounts, command, AccountCommand(name=name, member=member))

    async def settle(self) -> None:
        for name in ("ann", "bob"):
            await self.do("user-add", name)
        lab = (await self.do("group-add", "lab"))["id"]
        for name in ("ann", "bob"):
            await self.do("group-join", "lab", name)
        ann, self.bob = self.who("ann"), self.who("bob")
        self.token_id = (await self.do("token-new", "bob"))["id"]
        await self.queue("lab", ann, group=lab)
        await self.queue("public", ann, public=True)
        await self.queue("own", self.bob)

    def who(self, name: str) -> Identity:
        found = self.accounts.book.identity(self.accounts.book.account(name).id)
        assert found is not None
        return found

    async def queue(self, name: str, owner: Identity, **shared: Any) -> None:
        code = f"code of {name}".encode()
        function = await self.service.register(owner, hashlib.sha256(code).digest(), name, code, **shared)
        self.sent[name] = batch([name.encode()], functions=[function], group=uuid.uuid4().bytes)
        await self.service.submit(self.bob, self.sent[name])

    async def refused(self) -> dict[str, str]:
        """Which of Bob's tasks have ended, and why."""
        await turn(40)
        found = {}
        for name, sent in self.sent.items():
            outcome = self.service.task(self.bob, sent.prefix, 0).outcome
            if outcome is not None:
                assert outcome.status == frames.REFUSED
                found[name] = reason(outcome.body).message  # type: ignore[arg-type]
        return found

    def left(self) -> set[str]:
        """What an engine is given."""
        return {bytes(task.body).decode() for task in take(self.fixture, of=self.bob)}  # type: ignore[arg-type]


async def after(town: Town, running: bool, command: str, name: str, member: str | None = None) -> Any:
    """What has ended, and what is left to run, after the command. Without a name it is for Bob's token."""
    async with town.open():
        await town.settle()
        asked = AccountCommand(name=name or town.token_id, member=member)
        if running:
            await perform(town.accounts, command, asked)
            return await town.refused(), town.left()
    await asyncio.get_running_loop().run_in_executor(None, perform_in, town.fixture.folder, command, asked)
    async with town.open():
        return await town.refused(), town.left()


@WHERE
@live
async def test_who_leaves_a_group_runs_no_more_what_was_shared_with_it(tmp_path: Path, running: bool) -> None:
    ended, left = await after(town := Town(tmp_path), running, "group-leave", "lab", "bob")
    function = uuid.UUID(bytes=town.sent["lab"].functions[0])
    assert ended == {
        "lab": f"function {function} was not run: it is no longer shared with {town.bob.id}",
    }
    assert left == {"public", "own"}


@WHERE
@live
async def test_a_group_that_is_removed_shares_nothing_any_more(tmp_path: Path, running: bool) -> None:
    ended, left = await after(Town(tmp_path), running, "group-remove", "lab")
    assert set(ended) == {"lab"}
    assert NO_MORE in ended["lab"]
    assert left == {"public", "own"}


@WHERE
@live
async def test_nothing_is_run_for_a_user_who_is_removed(tmp_path: Path, running: bool) -> None:
    ended, left = await after(town := Town(tmp_path), running, "user-remove", "bob")
    assert set(ended) == {"lab", "public", "own"}
    assert all(f"its caller {town.bob.id} {GONE}" in why for why in ended.values())
    assert left == set()


@WHERE
@live
async def test_what_a_removed_user_has_shared_goes_on_to_run_for_others(
    tmp_path: Path, running: bool
) -> None:
    """It is still there, and still shared: a name that is gone takes nothing from those who were given it."""
    assert await after(Town(tmp_path), running, "user-remove", "ann") == ({}, {"lab", "public", "own"})


@WHERE
@live
async def test_a_revoked_token_takes_no_queued_task_with_it(tmp_path: Path, running: bool) -> None:
    """The stream that it opened ends (`test_visitors.py`); the tasks are the user's, whom another token lets in."""
    town = Town(tmp_path)
    assert await after(town, running, "token-revoke", "") == ({}, {"lab", "public", "own"})


@live
async def test_what_had_begun_goes_on(tmp_path: Path) -> None:
    town, listener = Town(tmp_path), Listener()
    async with town.open():
        await town.settle()
        town.service.subscribe(town.bob, listener, town.sent["lab"].group)
        (begun,) = [task for task in take(town.fixture, of=town.bob) if task.body == b"lab"]
        town.fixture.engine.events.began(default_pool_id(town.bob.id), [(*begun[:3], 1.0)])
        await town.do("user-remove", "bob")
        assert set(await town.refused()) == set()  # nothing that an engine has can be withdrawn here
        town.fixture.engine.end(default_pool_id(town.bob.id), [begun])
        (result,) = await listener.heard(1)
    assert (result.status, result.body) == (frames.VALUE, b"lab")


@live
async def test_who_is_known_at_a_start(tmp_path: Path) -> None:
    town = Town(tmp_path)
    async with town.open():
        await town.settle()
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        chosen = ServiceSettings(tmp_path, accounts=True, trust_all_users=True, client=("ci", "secret"))
        process = _Process(chosen, listener, StartNotifier(None))
        assert await process._who_is(town.bob.id) == town.bob
        assert await process._who_is("ci") == Identity("ci", "ci")
        assert await process._who_is(LOCAL_USER) == Identity(LOCAL_USER, LOCAL_USER, admin=True)
        assert await process._who_is(str(uuid.uuid4())) is None
