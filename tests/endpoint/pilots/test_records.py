"""What an endpoint with pilots keeps is found by the next start, like what our own workers keep."""

from __future__ import annotations

from pathlib import Path

from compute_executor.endpoint.agent.recovery import EarlierGenerations
from compute_executor.endpoint.pilots.records import PilotRecords
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import LOST, VALUE, Blob


def ended(position: int, status: int = VALUE, body: bytes | Blob = b"value") -> TaskEnded:
    return TaskEnded(7, position, 1, status, body, 1.0, 2.0)


def test_given_and_ended_tasks_are_found(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "1", tmp_path / "blobs"
    folder.mkdir()
    blobs.mkdir()
    (blobs / ("a" * 32)).write_bytes(b"x" * 70_000)
    records = PilotRecords(folder)
    records.give([(7, 0, 1), (7, 1, 1), (7, 2, 1), (7, 3, 1)])
    assert records.keep([ended(0), ended(3, body=Blob("a" * 32, 70_000))])
    assert not records.keep([ended(2, LOST)]), "only a function's own outcome is kept"
    records.close()
    found = EarlierGenerations([folder], blobs, "host")
    value, lost, kept = (found.outcome((7, position, 1)) for position in (0, 1, 3))
    assert value is not None
    assert lost is not None
    assert kept is not None
    assert (value.status, value.body, lost.status, kept.body) == (
        VALUE,
        b"value",
        LOST,
        Blob("a" * 32, 70_000),
    )
    assert found.outcome((7, 9, 1)) is None, "what was not given has not begun"
    assert found.bodies() == {"a" * 32}
    found.settled()
    assert not folder.exists()


def test_what_is_stored_makes_room(tmp_path: Path) -> None:
    records = PilotRecords(tmp_path)
    kept = 0
    while records.keep([ended(kept, body=b"x" * 60_000)]):
        kept += 1
    assert kept > 100
    records.stored(kept, kept)
    assert records.keep([ended(kept, body=b"x" * 60_000)])
    records.close()
