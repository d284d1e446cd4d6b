"""The script that a worker process is started with. Short, because a script is compiled at every start: all else
is in worker.py, which is a module and so has its bytecode cached."""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
if sys.path and sys.path[0] == here:  # absent under PYTHONSAFEPATH
    del sys.path[0]
sys.path.insert(0, os.path.dirname(os.path.dirname(here)))

from compute_executor.endpoint import worker  # noqa: E402

del sys.path[0]  # the caller's sys.path takes its place: worker.main
worker.main(*map(int, sys.argv[1:]))
