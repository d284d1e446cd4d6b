"""The measured process: ``python -m benchmarks.client PEER JOB COUNT OUTPUT`` writes its figures as JSON."""

from __future__ import annotations

import sys

from benchmarks.jobs import JOBS
from benchmarks.peers import PEERS


def main() -> None:
    """Run one job on one peer."""
    peer, job, count, output = sys.argv[1:]
    figures = JOBS[job].run(PEERS[peer], int(count))
    import json

    with open(output, "w") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    main()
