from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.design import Design
from compute_executor.sweeps.samples import Range, Sampling
from compute_executor.sweeps.search import Search
from compute_executor.sweeps.study import Study, StudyRequest

BOX = [Range("a", -10.0, 10.0), Range("n", 1.0, 9.0, whole=True)]


def bowl(a: float, n: int, c: float = 0.0) -> dict[str, float]:
    if a < -9.5:
        raise ValueError("outside")
    return {"z": (a - 3) ** 2 + (n - 4) ** 2 + c}


def searched(kind: str, out: Path, evaluations: int = 200, workers: int = 2, **options: Any) -> Study:
    ranges = options.pop("ranges", BOX)
    method = options.pop("method", "evolution")
    search = Search(kind, "z", ranges, {"c": 1.0}, evaluations=evaluations, seed=1, method=method)
    design = Design(sample=Sampling(evaluations, ranges, "random"))
    study = Study(StudyRequest(options.pop("function", bowl), design, "bowl", out, **options))
    try:
        with ThreadPoolExecutor(workers) as executor:
            search.run(study, executor, lambda: None)
        study.finish()
    finally:
        study.close()
    return study


@pytest.fixture(params=["evolution", "nevergrad"])
def method(request: pytest.FixtureRequest) -> str:
    """Each way to seek the least."""
    if request.param == "nevergrad":  # 60 MB that few need: not among the packages for development
        pytest.importorskip("nevergrad")
    return str(request.param)


def rows(out: Path) -> list[str]:
    return out.read_text().splitlines()[1:]


def test_a_search_finds_the_least_within_its_calls(tmp_path: Path, method: str) -> None:
    out = tmp_path / "r.csv"
    study = searched("minimize", out, method=method)
    assert study.tally.ended <= 200
    best = min(float(row.split(",")[2]) for row in rows(out) if row.split(",")[2])
    assert best == pytest.approx(1.0, abs=0.05)


def test_the_same_rows_for_any_number_of_workers(tmp_path: Path, method: str) -> None:
    for workers in (1, 3):
        searched("maximize", tmp_path / f"{workers}.csv", evaluations=60, workers=workers, method=method)
    assert rows(tmp_path / "1.csv") == rows(tmp_path / "3.csv")


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    searched("minimize", out, evaluations=60)
    study = searched("minimize", out, evaluations=60, resume=True)
    assert study.tally.skipped + study.tally.failed > 50


def test_a_search_ends_where_every_call_fails(tmp_path: Path, method: str) -> None:
    def broken(**_: float) -> None:
        raise ValueError("no")

    study = searched("minimize", tmp_path / "r.csv", function=broken, method=method)
    assert 20 <= study.tally.failed == study.tally.ended < 40
    assert "the first 20" in study.stopped


def test_a_search_has_methods_of_its_own() -> None:
    with pytest.raises(
        InvalidRequest, match=r"--method sobol: that of a search .* one of evolution, nevergrad"
    ):
        Search("minimize", "z", BOX, {}, evaluations=10, seed=0, method="sobol")


def test_adaptive_points_gather_where_it_changes(tmp_path: Path) -> None:
    def step(x: float, c: float) -> dict[str, float]:
        return {"z": 1.0 if x > 7 else 0.0}

    out = tmp_path / "r.csv"
    searched("adaptive", out, evaluations=40, ranges=[Range("x", 0.0, 10.0)], function=step)
    near = [row for row in rows(out) if 6 < float(row.split(",")[0]) < 8]
    assert len(rows(out)) == 40
    assert len(near) > 20


def test_adaptive_is_for_one_or_two_parameters() -> None:
    with pytest.raises(InvalidRequest, match="one or two parameters, these are 3"):
        Search("adaptive", "z", [*BOX, Range("b", 0.0, 1.0)], {}, evaluations=10, seed=0)


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no result is called 'z'; the results are: w"):
        searched("minimize", tmp_path / "r.csv", function=lambda **_: {"w": 1})
