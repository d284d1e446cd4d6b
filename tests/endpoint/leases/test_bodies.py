"""Bodies between two folders: by a link where the peer's can be reached, else by the wire."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.leases import bodies, frames
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.protocol.frames import Blob
from tests.endpoint.leases.test_grantor import NAME, Sent

CONTENT = b"x" * 1000
BLOB = Blob(NAME, len(CONTENT))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """That of this side, which has the body, and the peer's."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / NAME).write_bytes(CONTENT)
    return here, there


def fetched(folder: Path, **more: Any) -> tuple[list[Any], Sent]:
    """What the side that has no body is told when it fetches it, and what it sends for that."""
    told: list[Any] = []
    sent = Sent()
    BodyExchange(folder, sent, **more).fetch(BLOB, told.append)
    return told, sent


def no_link(*_: object) -> None:
    raise OSError(errno.EXDEV, "another file system")


def test_what_lies_in_a_folder_that_is_the_peers_for_certain_need_not_be_asked_for(
    folders: tuple[Path, Path],
) -> None:
    here, there = folders
    os.utime(here / NAME, (0, 0))
    BodyExchange(here, Sent(), theirs=there, proven=True).announce(BLOB)
    assert (there / NAME).samefile(here / NAME)
    assert (there / NAME).stat().st_mtime > 0, "as new: what is old and nobody's is removed"
    told, sent = fetched(there)
    assert (told, sent.frames) == ([None], [])


def test_nothing_is_put_into_a_folder_that_may_be_anothers(folders: tuple[Path, Path]) -> None:
    here, there = folders
    BodyExchange(here, Sent(), theirs=there).announce(BLOB)
    assert list(there.iterdir()) == []
    told, sent = fetched(there)
    assert told == []
    assert sent.last(frames.BodyWanted).name == NAME


@pytest.mark.parametrize("copied", [len(CONTENT), len(CONTENT) - 1])
def test_on_another_file_system_a_small_one_is_copied_and_a_large_one_asked_for(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    here, there = folders
    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(bodies, "COPIED_AT_ONCE", copied)
    told, sent = fetched(there, theirs=here)
    if copied >= len(CONTENT):
        assert (told, sent.frames) == ([None], [])
        assert (there / NAME).read_bytes() == CONTENT
    else:
        assert told == []
        assert sent.last(frames.BodyWanted).name == NAME


def test_one_of_another_size_is_not_taken(folders: tuple[Path, Path]) -> None:
    here, there = folders
    (here / NAME).write_bytes(b"cut")
    told, sent = fetched(there, theirs=here)
    assert told == []
    assert sent.last(frames.BodyWanted).name == NAME
