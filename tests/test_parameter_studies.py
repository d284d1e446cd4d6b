"""The commands of the page on parameter studies, and of the examples, run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DOCS = Path(__file__).resolve().parent.parent / "docs"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```py\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    return [
        command.strip()
        for block in CONSOLE.findall(text)
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)
        if command.strip()
    ]


def run(page: Path, folder: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix,
    }
    try:
        for command in commands(text):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environ,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    finally:
        stop = [sys.executable, "-m", "compute_executor", "stop", "--force"]
        subprocess.run(stop, capture_output=True, check=False)


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    page = DOCS / "parameter-studies.md"
    assert len(commands(page.read_text(encoding="utf-8"))) > 10
    run(page, tmp_path)
    for name in (
        "noisy.svg",
        "map.pdf",
        "lines.svg",
        "curves.nc",
        "curves.parquet",
        "runs.files/3/stdout.txt",
    ):
        assert (tmp_path / name).stat().st_size > 0
    assert (tmp_path / "runs.csv").read_text().splitlines()[3].split(",")[3] == "25"
    assert "0.1,1,exact" not in (tmp_path / "from-table.csv").read_text()


def test_what_users_of_other_tools_write(tmp_path: Path) -> None:
    run(DOCS / "coming-from.md", tmp_path)
    assert [row["mode"] for row in columns(tmp_path / "runs.csv")] == ["a", "b", "a", "b"]


def columns(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["planets", "enzyme", "lynx"])
def test_an_example_finds_what_was_published(tmp_path: Path, name: str) -> None:
    for file in (DOCS / "examples").iterdir():
        shutil.copy(file, tmp_path)
    run(DOCS / "examples" / f"{name}.md", tmp_path)
    if name == "planets":
        finest = [row for row in columns(tmp_path / "orbits.csv") if float(row["steps"]) > 19_000]
        assert len(finest) == 8
        assert all(abs(float(row["days"]) / float(row["period"]) - 1) < 0.01 for row in finest)
        assert all(float(row["off"]) < 1e-5 for row in finest)
    elif name == "enzyme":
        least = min(columns(tmp_path / "enzyme-search.csv"), key=lambda row: float(row["sum_of_squares"]))
        assert float(least["vmax"]) == pytest.approx(212.7, abs=0.5)
        assert float(least["k"]) == pytest.approx(0.0641, abs=0.001)
        assert float(least["sum_of_squares"]) == pytest.approx(1195.4, abs=1)
    else:
        import xarray as xr

        with xr.open_dataset(tmp_path / "lynx.nc", engine="h5netcdf") as found:
            assert dict(found.sizes) == {"alpha": 21, "gamma": 21, "hare_0": 21, "lynx_0": 21}
            best = found["miss"].where(found["miss"] == found["miss"].min(), drop=True)
            assert best["alpha"].item() == pytest.approx(0.55, abs=0.02)
            assert best["gamma"].item() == pytest.approx(0.80, abs=0.02)
