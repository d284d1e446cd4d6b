from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.destination import destination, replaced, same_file


def test_a_file_that_is_there_or_not_is_itself(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for name in ("there", "absent"):
        assert destination(tmp_path / name) == tmp_path / name


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with replaced(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/null", "/proc/self/fd/1", ".", "pipe"])
def test_what_is_no_regular_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(InvalidRequest, match="it is not a regular file"):
        destination(Path(name))


def test_links_that_lead_back_to_themselves_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(InvalidRequest, match="its links lead back to itself"):
        destination(loop)


def test_two_names_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    there, absent = tmp_path / "a.csv", tmp_path / "b.csv"
    there.write_text("")
    (tmp_path / "link.csv").symlink_to(there)
    assert same_file(there, tmp_path / "link.csv")
    assert same_file(absent, tmp_path / "folder" / ".." / "b.csv")
    assert not same_file(there, absent)
