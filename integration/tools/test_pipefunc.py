"""pipefunc: a pipeline maps over its inputs."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from pipefunc import Pipeline, pipefunc


@pipefunc(output_name="square", mapspec="x[i] -> square[i]")
def square(x: int) -> int:
    return x * x


@pipefunc(output_name="shifted", mapspec="square[i], y[j] -> shifted[i, j]")
def shifted(square: int, y: int) -> int:
    return square + y


@pipefunc(output_name="total")
def total(shifted: object) -> int:
    return int(sum(shifted.ravel()))  # type: ignore[attr-defined]


def test_a_pipeline(executor: Executor, tmp_path: Path) -> None:
    pipeline = Pipeline([square, shifted, total])
    inputs = {"x": list(range(6)), "y": [10, 20]}

    ours = pipeline.map(
        inputs, run_folder=tmp_path / "ours", executor=executor, chunksizes=1, show_progress=False
    )
    serial = pipeline.map(inputs, run_folder=tmp_path / "serial", parallel=False, show_progress=False)

    assert ours["total"].output == serial["total"].output
    assert (ours["shifted"].output == serial["shifted"].output).all()
