"""Says which rates of a sweep of sir.py explain the counts best: python best_fit.py sweep-results.csv"""

from __future__ import annotations

import csv
import sys

PUBLISHED = "published: R0 about 3.7 (Murray, Mathematical Biology: beta 1.66 and gamma 0.44 a day)"

with open(sys.argv[1], encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file) if not row["error"]]

best = min(rows, key=lambda row: float(row["sum_of_squares"]))
beta, gamma, r0, miss = (float(best[name]) for name in ("beta", "gamma", "r0", "sum_of_squares"))
print(f"best of {len(rows):,} fits: beta {beta:.3f} a day, gamma {gamma:.3f} a day, R0 = {r0:.2f}", end=" ")
print(f"(off by {(miss / 14) ** 0.5:.0f} boys a day, root mean square)")
print(PUBLISHED)
