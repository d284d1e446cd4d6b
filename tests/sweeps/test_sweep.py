"""The library: on the service of this machine where it matters, else on threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compute_executor
from compute_executor import SweepResult, sweep
from compute_executor.errors import InvalidArgument, InvalidRequest


def area(width: int, height: float = 1.0) -> dict[str, float]:
    return {"area": width * height}


def picky(x: int) -> int:
    if x == 2:
        raise ValueError("two")
    return x


def with_seed(x: int, seed: int) -> int:
    return seed


def run(function: Any, *args: Any, **options: Any) -> SweepResult:
    with ThreadPoolExecutor(2) as executor:
        return sweep(function, *args, executor=executor, progress=False, **options)


def test_a_grid_on_the_service_of_this_machine() -> None:
    found = sweep(area, {"width": [1, 2], "height": "0:1:3"}, progress=False)
    assert [row["area"] for row in found] == [0, 0.5, 1, 0, 1, 2]
    assert repr(found) == "<SweepResult 6 of 6 rows, 0 failed>"


def test_it_is_a_public_name() -> None:
    assert {"sweep", "SweepResult"} <= set(compute_executor.__all__)


def test_on_processes_of_the_standard_library() -> None:
    with ProcessPoolExecutor(1) as executor:
        assert len(sweep(area, {"width": [1, 2]}, executor=executor, progress=False)) == 2


def test_failures_have_parameters_and_traceback_and_resume_runs_them_again() -> None:
    with ThreadPoolExecutor(2) as executor:
        found = sweep(picky, {"x": [1, 2, 3]}, executor=executor, progress=False)
        again = found.resume()
    (failure,) = found.failures
    assert (failure.row, failure.parameters, failure.error) == (2, {"x": 2}, "ValueError: two")
    assert 'raise ValueError("two")' in failure.traceback
    assert (again.counts.values, again.counts.failed, again.failures[0].attempts) == (2, 1, 2)


def test_frames_and_datasets() -> None:
    found = run(area, {"width": [1, 2], "height": [0.5, 1.5]}, units={"width": "m"})
    frame = found.to_pandas()
    assert list(frame.columns) == ["width", "height", "area", "error"]
    assert frame["width"].dtype == int
    data = found.to_xarray()
    assert data["area"].sel(width=2, height=1.5).item() == 3.0
    assert data["width"].attrs == {"units": "m"}


def test_ints_stay_ints_beside_failures() -> None:
    frame = run(picky, {"x": [1, 2, 3]}).to_pandas()
    assert str(frame["result"].dtype) == "Int64"
    assert frame["result"].isna().tolist() == [False, True, False]


def test_samples_constants_conditions_and_tables(tmp_path: Path) -> None:
    found = run(area, sample={"height": (0.0, 2.0)}, points=8, constants={"width": 3}, seed=None)
    assert len(found) == 8
    assert run(area, {"width": [1, 2, 3]}, where="width != 2").records()[1]["width"] == 3
    (tmp_path / "in.csv").write_text("width,note\n4,a\n")
    assert run(area, params=tmp_path / "in.csv").records() == [
        {"width": 4, "note": "a", "area": 4.0, "error": None}
    ]
    assert [row["area"] for row in run(area, params=[{"width": 1}, {"width": 2, "height": 5.0}])] == [
        1.0,
        10.0,
    ]


def test_seeds_are_the_same_in_every_run() -> None:
    one, other = (run(with_seed, {"x": [1, 2]}, repeat=2, seed=3).records() for _ in range(2))
    assert one == other
    assert len({row["result"] for row in one}) == 4
    assert [row["repeat"] for row in one] == [1, 2, 1, 2]


def test_a_table_and_other_formats(tmp_path: Path) -> None:
    found = run(area, {"width": [1, 2]}, out=tmp_path / "r.parquet")
    assert (tmp_path / "r.parquet.sweep").exists()
    found.save(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "width,area,error\n1,1.0,\n2,2.0,\n"
    found.plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").exists()
    with pytest.raises(InvalidRequest, match="is there already"):
        run(area, {"width": [1]}, out=tmp_path / "r.parquet")
    assert len(run(area, {"width": [1, 2, 3]}, out=tmp_path / "r.parquet", resume=True)) == 3


def test_arrays_come_back_whole() -> None:
    found = run(lambda n: np.arange(n), {"n": [2000]})
    assert found.records()[0]["result"].tolist() == list(range(2000))


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"grid": {"w": [1]}}, InvalidRequest, "takes no keyword argument 'w'"),
        ({"grid": {"width": []}}, InvalidRequest, "'width' has no values"),
        ({"grid": {"width": 5}}, InvalidArgument, "must be a list or the like"),
        ({"sample": {"width": (0, 1)}}, InvalidRequest, "go together"),
        ({"sample": {"width": (0,)}, "points": 3}, InvalidRequest, "must be"),
        ({"grid": {"width": [1]}, "seed": 1}, InvalidRequest, "the function takes none"),
        ({"grid": {"width": [1]}, "repeat": 0}, InvalidRequest, "at least 1"),
        ({"grid": {"width": [1]}, "where": "height < 1"}, InvalidRequest, "'height' is no parameter"),
        ({"grid": {"width": [1]}, "where": "width > 1"}, InvalidRequest, "none of 1 points"),
        ({"grid": {"width": [1]}, "out": "r.doc"}, InvalidRequest, "its name must end in"),
        ({"grid": {"width": [1]}, "timeout": 3}, InvalidRequest, "a timeout needs"),
        ({}, InvalidRequest, "nothing to sweep"),
    ],
)
def test_what_cannot_be_run_is_refused_beforehand(
    options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        run(area, **options)


def test_no_function_no_sweep() -> None:
    with pytest.raises(InvalidArgument, match="needs a function, not a int"):
        run(5, {"x": [1]})


INTERRUPTED = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from compute_executor import sweep

def interrupts(x):
    if x == 50:
        os.kill(os.getpid(), signal.SIGINT)
    return x

table = Path(sys.argv[1])
try:
    with ThreadPoolExecutor(1) as executor:
        sweep(interrupts, {"x": range(1_000_000)}, executor=executor, out=table, progress=False)
except KeyboardInterrupt:
    again = sweep(lambda x: x, {"x": range(10)}, executor=ThreadPoolExecutor(1), out=table.with_name("other.csv"))
    print("interrupted, then", len(again))
"""
"""A program of its own: within pytest a KeyboardInterrupt may be raised in a callback of another library, which drops
it."""


def test_ctrl_c_keeps_what_has_ended(tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(table)], capture_output=True, text=True, timeout=100
    )
    assert done.stdout.strip() == "interrupted, then 10", done.stderr
    assert len(table.read_text().splitlines()) > 40
