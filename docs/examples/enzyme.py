"""The Michaelis-Menten law, rate = vmax c / (k + c), and how far it is from rates that were measured.

``vmax``: the greatest rate, counts/min^2. ``k``: the concentration of half that rate, ppm. Data and source are in
puromycin.csv and enzyme.md.
"""

from __future__ import annotations

import csv
from pathlib import Path

with (Path(__file__).parent / "puromycin.csv").open(encoding="utf-8") as file:
    MEASURED = [(float(row["concentration"]), float(row["rate"])) for row in csv.DictReader(file)]


def fit(vmax: float, k: float) -> dict[str, float]:
    """How well this law explains what was measured."""
    misses = [rate - vmax * c / (k + c) for c, rate in MEASURED]
    return {"sum_of_squares": sum(miss * miss for miss in misses), "greatest_miss": max(map(abs, misses))}
