"""The script that a worker process is started with. Short, because a script is compiled at every start: all else
is in worker.py, which is a module and so has its bytecode cached."""

import os
import sys


def start() -> None:
    """Import the worker from where this file is, whatever sys.path says, and run it."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] in (here, os.path.realpath(here)):  # absent under PYTHONSAFEPATH
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(here))))
    from compute_executor.endpoint.worker import worker

    del sys.path[0]  # the caller's sys.path takes its place: worker.Setup
    worker.main(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    start()
