"""Says which rates of a sweep of sir.py explain the counts best: python best_fit.py sweep-results.csv"""

from __future__ import annotations

import csv
import sys

PUBLISHED = "published: R0 about 3.7 (Murray, Mathematical Biology: beta 1.66 and gamma 0.44 a day)"
REGION = 0.05 ** (-2 / (14 - 2))
"""Least squares of 14 counts by 2 parameters: the 95 % confidence region ends where their sum is so many times the
least, 1 + 2 / 12 F(0.95; 2, 12) (Draper and Smith, Applied Regression Analysis)."""

with open(sys.argv[1], encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file) if not row["error"]]

best = min(rows, key=lambda row: float(row["sum_of_squares"]))
beta, gamma, r0, miss = (float(best[name]) for name in ("beta", "gamma", "r0", "sum_of_squares"))
inside = [row for row in rows if float(row["sum_of_squares"]) <= REGION * miss]
print(f"best of {len(rows):,} fits: beta {beta:.3f} a day, gamma {gamma:.3f} a day, R0 = {r0:.2f}", end=" ")
print(f"(off by {(miss / 14) ** 0.5:.0f} boys a day, root mean square)")
for name in ("beta", "gamma", "r0"):
    values = [float(row[name]) for row in inside]
    print(f"95 % region: {name} {min(values):.2f} to {max(values):.2f}")
print(PUBLISHED)
