from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from compute_executor.cli.grid import Axis
from compute_executor.cli.plan import Plan
from compute_executor.cli.progress import Tally
from compute_executor.cli.report import SweepEnding, report
from compute_executor.cli.request import SweepRequest
from compute_executor.cli.wrong_input import WrongInput


def ending(folder: Path, **given: Any) -> SweepEnding:
    """Three rows that have ended, the last one with an error."""
    out = folder / "results.csv"
    out.write_text("x,cost,name,error\n1,5,a,\n2,4,b,\n3,,,ValueError: no\n9,0,z,\n")
    nothing: dict[str, Any] = dict.fromkeys(SweepRequest.__dataclass_fields__)
    request = SweepRequest(**{**nothing, "function": "m.py:f", "grids": (), "out": out, **given})
    plan = Plan(None, [Axis("x", [1, 2, 3])])
    return SweepEnding(request, plan, Tally(3, 3, 1, 0), ["cost", "name"], 1, "ValueError: no", 65)


def test_figures_failures_and_rows_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(ending(tmp_path))
    assert capsys.readouterr().out.splitlines() == [
        f"3 rows in 0:01:05, 1 failed: {tmp_path}/results.csv",
        "first failure: ValueError: no",
        f"1 earlier row of other values kept at the end of {tmp_path}/results.csv",
    ]


def test_the_best_row_is_one_of_this_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(ending(tmp_path, minimize="cost"))
    assert "least cost 4 at x = 2" in capsys.readouterr().out


def test_the_picture_is_of_the_column_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(ending(tmp_path, plot=tmp_path / "p.png", plot_column="cost", maximize="cost"))
    assert f"picture: {tmp_path}/p.png" in capsys.readouterr().out
    with pytest.raises(WrongInput, match="no numbers under name"):
        report(ending(tmp_path, plot=tmp_path / "p.png", plot_column="name"))


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"cannot write .*absent/p\.png: No such file"):
        report(ending(tmp_path, plot=tmp_path / "absent" / "p.png"))
