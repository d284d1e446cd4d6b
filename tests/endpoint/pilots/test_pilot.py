"""What a pilot decides by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor.endpoint.pilots import ticket as tickets
from compute_executor.endpoint.pilots.pilot import shared_folder

HERE = [("127.0.0.1", 1)]


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def test_the_endpoints_folder_is_known_by_the_ticket_beside_it(blobs: Path) -> None:
    ticket = tickets.new_ticket(HERE)
    tickets.write(blobs.parent / tickets.FILE, ticket)
    assert shared_folder(str(blobs), ticket) == blobs
    assert shared_folder(str(blobs), tickets.new_ticket(HERE)) is None, (
        "another endpoint's, or another machine's"
    )


def test_a_folder_that_is_not_here_is_not_used(blobs: Path) -> None:
    ticket = tickets.new_ticket(HERE)
    assert shared_folder(None, ticket) is None
    assert shared_folder(str(blobs), ticket) is None
    (blobs.parent / tickets.FILE).write_text("{}")
    assert shared_folder(str(blobs), ticket) is None
