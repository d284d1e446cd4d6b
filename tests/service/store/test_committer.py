"""Groups form by themselves, callbacks come in order, and a locked database is waited for without blocking."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import StoreBusy
from compute_executor.service.scheduling.speakers import Speakers
from compute_executor.service.store import committer as committer_module
from compute_executor.service.store.committer import Committer, settle
from compute_executor.service.store.store import Operation, Store, WriteResult
from tests.service.fixture import live, turn


class Recorder(Store):
    """A store that notes the groups it was given."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        super().__init__(path, durable=durable)
        self.groups: list[int] = []
        self.checkpoints = 0
        self.long = False

    def run(self, operations: Any) -> list[WriteResult]:
        self.groups.append(len(operations))
        return super().run(operations)

    def wal_is_long(self) -> bool:
        return self.long

    def checkpoint(self) -> None:
        self.checkpoints += 1
        self.long = False
        super().checkpoint()


def saying(word: str) -> Operation:
    return lambda _writer: word


@pytest.mark.parametrize("durable", [False, True])
@live
async def test_what_comes_together_is_committed_together(tmp_path: Path, durable: bool) -> None:
    store = Recorder(tmp_path / "store", durable=durable)
    committer = Committer(store, asyncio.get_running_loop())
    assert committer.idle
    futures = [committer.commit(saying(word)) for word in ("a", "b", "c")]
    assert not committer.idle
    assert await asyncio.gather(*futures) == ["a", "b", "c"]
    assert await committer.commit(saying("d")) == "d"
    assert store.groups == [3, 1]
    await committer.close()
    store.close()


@live
async def test_what_comes_during_a_commit_is_the_next_group(tmp_path: Path) -> None:
    store = Recorder(tmp_path / "store", durable=True)
    committer = Committer(store, asyncio.get_running_loop())
    order: list[str] = []
    committer.soon(saying("first"), lambda result, _error: order.append(result))
    while not store.groups:
        await asyncio.sleep(0.001)
    later = [committer.commit(saying(word)) for word in ("x", "y")]
    for future in later:
        future.add_done_callback(lambda future: order.append(future.result()))
    await asyncio.gather(*later)
    await committer.close()
    assert store.groups[:2] == [1, 2]
    assert order == ["first", "x", "y"]
    store.close()


@live
async def test_no_transaction_is_larger_than_a_bound_and_users_have_their_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "MOST_AT_ONCE", 3)
    store = Recorder(tmp_path / "store", durable=False)
    committer = Committer(store, asyncio.get_running_loop())
    order: list[str] = []
    for word in ("a1", "a2", "a3", "a4", "a5", "b1"):
        committer.soon(saying(word), lambda result, _error: order.append(result), user=word[0])
    await committer.close()
    assert order == ["a1", "b1", "a2", "a3", "a4", "a5"]
    assert store.groups[:2] == [3, 3]
    store.close()


@live
async def test_transactions_are_short_while_several_users_are_there(tmp_path: Path) -> None:
    store, loop, users = Recorder(tmp_path / "store", durable=False), asyncio.get_running_loop(), Speakers()
    committer = Committer(store, loop, users)
    for speaking in (["ann"], ["ann", "bob"]):
        for user in speaking:
            users.spoke(user, loop.time())
        await asyncio.gather(*(committer.commit(saying("a")) for _ in range(40)))
    assert store.groups == [32, 8, 8, 8, 8, 8, 8]
    await committer.close()
    store.close()


@pytest.mark.parametrize("durable", [False, True])
@live
async def test_closing_waits_for_what_was_given(tmp_path: Path, durable: bool) -> None:
    store = Recorder(tmp_path / "store", durable=durable)
    committer = Committer(store, asyncio.get_running_loop())
    future = committer.commit(saying("a"))
    await committer.close()
    assert future.result() == "a"
    store.close()


@live
async def test_one_failure_is_one_operations(tmp_path: Path) -> None:
    store = Recorder(tmp_path / "store", durable=False)
    committer = Committer(store, asyncio.get_running_loop())

    def fail(_writer: object) -> None:
        raise ValueError("no")

    good, bad, also = committer.commit(saying("a")), committer.commit(fail), committer.commit(saying("b"))
    with pytest.raises(ValueError, match="no"):
        await bad
    assert (await good, await also) == ("a", "b")
    await committer.close()
    store.close()


@live
async def test_a_failing_callback_does_not_silence_its_neighbours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Recorder(tmp_path / "store", durable=False)
    committer = Committer(store, asyncio.get_running_loop())

    def fail(_result: object, _error: object) -> None:
        raise ValueError("in a callback")

    committer.soon(saying("a"), fail)
    assert await committer.commit(saying("b")) == "b"
    assert "in a callback" in caplog.text
    await committer.close()
    store.close()


@live
async def test_a_locked_database_is_waited_for_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "BUSY_PAUSE", 0.01)
    monkeypatch.setattr(committer_module, "BUSY_PATIENCE", 0.03)
    store = Recorder(tmp_path / "store", durable=False)
    committer = Committer(store, asyncio.get_running_loop())
    other = sqlite3.connect(tmp_path / "store", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    committer._patience = 1.0
    waiting = committer.commit(saying("a"))
    await turn()
    assert not waiting.done()
    other.execute("ROLLBACK")
    assert await waiting == "a"
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        await committer.commit(saying("b"))
    other.close()
    assert await committer.commit(saying("c")) == "c"
    await committer.close()
    store.close()


@live
async def test_a_long_wal_is_emptied_before_the_next_commit(tmp_path: Path) -> None:
    store = Recorder(tmp_path / "store", durable=False)
    committer = Committer(store, asyncio.get_running_loop())
    store.long = True
    assert await committer.commit(saying("a")) == "a"
    assert store.checkpoints == 1
    await committer.close()
    store.close()


@live
async def test_a_future_nobody_waits_for_is_left_alone() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    settle(future, "late", None)
    assert future.cancelled()
