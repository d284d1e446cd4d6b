"""Hares and lynxes of Canada by the equations of Lotka and Volterra, and how far they are from what was trapped.

    dh/dt = alpha h - beta h l        h: hares, l: lynxes, in thousands of pelts a year
    dl/dt = delta h l - gamma l       alpha, gamma: 1/year; beta, delta: 1/(year thousand)

Each call returns both curves whole, a number a year. Data and source are in lynx.csv and lynx.md.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

STEPS_A_YEAR = 50

with (Path(__file__).parent / "lynx.csv").open(encoding="utf-8") as file:
    TRAPPED = [(float(row["hare"]), float(row["lynx"])) for row in csv.DictReader(file)]


def curves(alpha: float, gamma: float, beta: float = 0.028, delta: float = 0.024) -> dict[str, object]:
    """Hares and lynxes of each year, and the root mean square of the logarithms by which they miss."""
    hare, lynx = 34.0, 5.9
    hares, lynxes = [hare], [lynx]
    for _ in TRAPPED[1:]:
        for _ in range(STEPS_A_YEAR):
            hare, lynx = _step((hare, lynx), (alpha, beta, gamma, delta))
        hares.append(hare)
        lynxes.append(lynx)
    pairs = zip(hares, lynxes, TRAPPED, strict=True)
    squares = [math.log(h / trapped[0]) ** 2 + math.log(x / trapped[1]) ** 2 for h, x, trapped in pairs]
    return {"hare": hares, "lynx": lynxes, "miss": math.sqrt(sum(squares) / (2 * len(squares)))}


def _step(animals: tuple[float, float], rates: tuple[float, float, float, float]) -> tuple[float, float]:
    """A step of the midpoint method."""
    (h, x), (alpha, beta, gamma, delta) = animals, rates
    s = 1 / STEPS_A_YEAR
    hm, xm = h + s / 2 * (alpha - beta * x) * h, x + s / 2 * (delta * h - gamma) * x
    return h + s * (alpha - beta * xm) * hm, x + s * (delta * hm - gamma) * xm
