"""The example is right: its model, its numbers, its agreement with what was published."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


@pytest.fixture(scope="module")
def sir() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sir_example", EXAMPLES / "sir.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_data_are_those_of_the_report(sir: ModuleType) -> None:
    assert sir.IN_BED == [3, 8, 28, 75, 221, 291, 255, 235, 190, 125, 70, 28, 12, 5]


def test_steps_are_small_enough(sir: ModuleType) -> None:
    coarse = sir.epidemic(2.2, 0.3, days=14)
    fine = sir.epidemic(2.2, 0.3, days=14, steps_a_day=2000)
    assert max(abs(a - b) for a, b in zip(coarse, fine, strict=True)) < 1e-3


def test_without_infection_the_ill_recover_exponentially(sir: ModuleType) -> None:
    for day, ill in enumerate(sir.epidemic(0.0, 0.5, days=5), 1):
        assert ill == pytest.approx(math.exp(-0.5 * day), rel=1e-6)


def test_the_epidemic_ends_where_theory_says(sir: ModuleType) -> None:
    """The final size: s = S(0)/N exp(-R0 (1 - s)), s the part that never caught it (Kermack and McKendrick)."""
    beta, gamma = 1.66, 0.45
    susceptible, ill = sir.BOYS - 1.0, 1.0
    for _ in range(200 * 20):
        susceptible, ill = sir._runge_kutta(susceptible, ill, beta, gamma, 0.05)
    part = susceptible / sir.BOYS
    assert part == pytest.approx((1 - 1 / sir.BOYS) * math.exp(-beta / gamma * (1 - part)), rel=1e-6)


def test_the_published_rates_fit_best_among_their_neighbours(sir: ModuleType) -> None:
    best = sir.fit(1.665, 0.4476)
    assert best["r0"] == pytest.approx(3.72, abs=0.01)
    for beta, gamma in ((1.60, 0.4476), (1.73, 0.4476), (1.665, 0.42), (1.665, 0.48)):
        assert sir.fit(beta, gamma)["sum_of_squares"] > best["sum_of_squares"]


def test_the_best_fit_is_told_with_its_reproduction_number(sir: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    lines = [
        "beta,gamma,sum_of_squares,r0,error",
        "1.6,0.4,9000,4.0,",
        "1.66,0.45,4100,3.69,",
        "1,1,,,ValueError: no",
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "best_fit.py", table], capture_output=True, text=True, check=True
    )
    assert "best of 2 fits: beta 1.660 a day, gamma 0.450 a day, R0 = 3.69" in done.stdout
    assert "published" in done.stdout
