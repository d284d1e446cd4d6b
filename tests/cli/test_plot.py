from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from compute_executor.cli import plot
from compute_executor.cli.plot import Picture
from compute_executor.cli.wrong_input import WrongInput

PNG = b"\x89PNG\r\n"


def table(**columns: list[object]) -> list[dict[str, str]]:
    return [
        dict(zip(columns, map(str, values), strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def drawn(folder: Path, picture: Picture) -> bytes:
    """The picture as a file; also that nothing else is left beside it."""
    plot.draw(folder / "picture.png", picture)
    assert [entry.name for entry in folder.iterdir()] == ["picture.png"]
    return (folder / "picture.png").read_bytes()


def test_one_parameter_is_a_line(tmp_path: Path) -> None:
    rows = table(x=[3, 1, 2], y=[1, 1000, 5])
    assert drawn(tmp_path, Picture(["x"], "y", rows, rows[0], "least y")).startswith(PNG)


def test_words_and_missing_numbers_can_be_drawn(tmp_path: Path) -> None:
    rows = table(kind=["adam", "sgd", "lion"], y=[1.5, "", 2])
    assert drawn(tmp_path, Picture(["kind"], "y", rows, None, "")).startswith(PNG)


def test_two_parameters_are_a_heat_map(tmp_path: Path) -> None:
    rows = table(x=[0, 0, 1, 1], kind=["a", "b", "a", "b"], y=[-1, 2, "", 4])
    assert drawn(tmp_path, Picture(["x", "kind"], "y", rows, rows[0], "least")).startswith(PNG)


def test_points_strewn_about_are_drawn_as_points(tmp_path: Path) -> None:
    rows = table(a=range(9), b=[x * x for x in range(9)], y=[10**x for x in range(9)])  # type: ignore[arg-type]
    assert drawn(tmp_path, Picture(["a", "b"], "y", rows, None, "")).startswith(PNG)


def test_infinite_numbers_do_no_harm(tmp_path: Path) -> None:
    rows = table(x=[0, 0, 1, 1], z=[0, 1, 0, 1], y=["inf", "inf", "-inf", ""])
    assert drawn(tmp_path, Picture(["x", "z"], "y", rows, None, "")).startswith(PNG)


def test_the_suffix_says_the_format(tmp_path: Path) -> None:
    plot.draw(tmp_path / "picture.svg", Picture(["x"], "y", table(x=[1, 2], y=[1, 2]), None, ""))
    assert b"<svg" in (tmp_path / "picture.svg").read_bytes()


def test_what_can_be_drawn_passes(tmp_path: Path) -> None:
    plot.check(tmp_path / "a.png", ["x"])
    plot.check(tmp_path / "a.PDF", ["x", "y"])


def test_a_picture_that_cannot_be_drawn_is_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="3 of this sweep vary: a, b, c"):
        plot.check(tmp_path / "a.png", ["a", "b", "c"])
    with pytest.raises(WrongInput, match="0 of this sweep vary"):
        plot.check(tmp_path / "a.png", [])
    with pytest.raises(WrongInput, match=r"must end in one of .*\.png"):
        plot.check(tmp_path / "a.docx", ["a"])
    with pytest.raises(WrongInput, match="no writable folder"):
        plot.check(tmp_path / "absent" / "a.png", ["a"])
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(WrongInput, match="it is not a regular file"):
        plot.check(tmp_path / "folder.png", ["a"])


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WrongInput, match="pip install matplotlib"):
        plot.check(tmp_path / "a.png", ["a"])
