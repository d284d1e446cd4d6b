"""A task that kills its user endpoint, and after it one that does no harm. Arguments: endpoint, mark file."""

import sys
import time

from globus_compute_sdk import Executor
from work import config, say


def poison(mark):
    """Leave a mark, and end the process that runs the engine."""
    import os

    with open(mark, "a") as file:
        file.write(f"{os.getpid()}\n")
    os._exit(1)


def square(x):
    return x * x


def ending(future):
    error = future.exception(timeout=170)
    return str(error) if error is not None else future.result()


endpoint, mark = sys.argv[1:]
with Executor(
    endpoint_id=endpoint, user_endpoint_config=config(), api_burst_limit=8, api_burst_window_s=1
) as executor:
    begun = time.monotonic()
    first = executor.submit(poison, mark)
    time.sleep(2)
    second = executor.submit(square, 12)
    third = executor.submit(square, 13)
    found = {"poison": ending(first), "neighbours": [ending(second), ending(third)]}
    with open(mark) as file:
        found["runs"] = len(file.readlines())
    say(seconds=time.monotonic() - begun, **found)
