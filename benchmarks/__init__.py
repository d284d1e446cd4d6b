"""Compute_executor beside its peers, on the same jobs, in the same minutes: ``python -m benchmarks --help``.

__main__.py   what is asked for: peers, jobs, rounds
runner.py     one fresh client process a measurement, each beside a ProcessPoolExecutor's
client.py     that process: one peer, one job
peers.py      how each peer is started, one small adapter each
jobs.py       what is measured, and how its answers are checked
work.py       the functions that workers run
aims.py       what compute_executor wants to reach
report.py     docs/benchmarks.md and its chart
scaling.py    cost as work grows (python -m benchmarks.scaling)
"""
